#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/compute.h"
#include "src/cli/job.h"
#include "src/cli/model_at_work.h"
#include "src/core/file.h"
#include "src/core/log.h"
#include "src/machine/surroundings.h"
#include "src/roof/save_speed.h"
#include "src/roof/tables.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

Json to_json(const Spread& s) {
  return {{"best", s.best}, {"median", s.median}, {"worst", s.worst}, {"repeats", s.repeats}};
}

Json to_json(const Roof& roof, const std::vector<AllReduceSpeed>& exchange, const DiskSpeed& disk, const FileSystem& system) {
  Json json = {{"matrix", Json::array()}, {"memory", Json::array()}, {"all_reduce", Json::array()}};
  for (const MatrixRate& r : roof.matrix)
    json["matrix"].push_back({{"dtype", name_of(r.dtype)}, {"shape", {r.m, r.n, r.k}}, {"path", r.path}, {"seconds", to_json(r.seconds)},
                              {"flops_per_second", r.best()}});
  for (const MemoryRate& r : roof.memory)
    json["memory"].push_back({{"level", r.level}, {"working_set_bytes", r.working_set}, {"read_bytes_per_second", r.read},
                              {"copy_bytes_per_second", r.copy}, {"triad_bytes_per_second", r.triad}, {"noise", r.noise}});
  for (const AllReduceSpeed& s : exchange) json["all_reduce"].push_back({{"bytes", s.bytes}, {"seconds", s.seconds}, {"repeats", s.repeats}});
  json["disk"] = {{"filesystem", system.kind}, {"bytes", disk.bytes}, {"write_bytes_per_second", disk.write_rate()},
                  {"read_bytes_per_second", disk.read_rate()}, {"read_how", disk.read_how}, {"fsync_seconds", disk.fsync_seconds}};
  return json;
}

Json to_json(const StepReport& r, bool with_floors) {
  const StepTimes& t = r.times;
  Json rows = Json::array();
  for (const OpRow& row : t.rows) {
    Json shape = Json::array();
    for (int i = 0; i < row.shape.rank(); ++i) shape.push_back(row.shape[i]);
    rows.push_back({{"op", row.op}, {"form", row.form}, {"shape", shape}, {"dtype", name_of(row.dtype)}, {"calls", row.calls},
                    {"seconds", row.seconds}, {"best_seconds", row.best}, {"flops", row.flops}, {"bytes", row.bytes},
                    {"floor_seconds", with_floors ? Json(row.floor) : Json()}, {"share", row.seconds / t.total()},
                    {"between_ranks", row.over_the_wire}});
  }
  return {{"model", name_of(r.model.type)},
          {"dtype", name_of(r.dtype)},
          {"parameters", r.parameters},
          {"tokens", r.tokens},
          {"micro_batches", r.micro_batches},
          {"configured_micro_batches", r.configured_micro_batches},
          {"random_tokens", r.random_tokens},
          {"arena_bytes", r.arena_bytes},
          {"step_seconds", to_json(t.step)},
          {"tokens_per_second", r.tokens_per_second()},
          {"joules_per_token", r.joules_per_token > 0 ? Json(r.joules_per_token) : Json()},
          {"model_flops_per_token", r.flops_per_token},
          {"ops_seconds", t.ops},
          {"between_seconds", t.between},
          {"floor_seconds", with_floors ? Json(t.floor) : Json()},
          {"ops", rows}};
}

Json to_json(const GenerationReport& r) {
  Json rows = Json::array();
  for (const OpRow& row : r.ops.rows) rows.push_back({{"op", row.op}, {"calls", row.calls}, {"seconds", row.seconds}, {"bytes", row.bytes}});
  return {{"model", name_of(r.model.type)},
          {"dtype", name_of(r.dtype)},
          {"quantization", name_of(r.quantization)},
          {"parameters", r.parameters},
          {"prompt_tokens", r.prompt},
          {"tokens", r.tokens},
          {"token_seconds", to_json(r.token)},
          {"tokens_per_second", r.tokens_per_second()},
          {"weight_bytes", r.weight_bytes},
          {"weight_bytes_per_token", r.read_bytes},
          {"weight_bytes_per_second", r.weight_rate()},
          {"memory_read_bytes_per_second", r.read_rate > 0 ? Json(r.read_rate) : Json()},
          {"ops", rows}};
}

Json to_json(const SaveSpeed& s) {
  return {{"bytes", s.bytes},
          {"parameters", s.parameters},
          {"raw_seconds", to_json(s.raw)},
          {"write_seconds", to_json(s.write)},
          {"write_of_raw", s.of_raw()},
          {"read_back_seconds", to_json(s.read_back)},
          {"save_seconds", to_json(s.save)},
          {"verify_seconds", to_json(s.verify)},
          {"load_seconds", to_json(s.load)},
          {"stall_seconds", to_json(s.stall)},
          {"check_seconds", s.check_seconds},
          {"background_seconds", s.background_seconds},
          {"step_seconds", s.step_seconds},
          {"steps_beside", s.steps_beside},
          {"steps_beside_seconds", s.beside_seconds},
          {"steps_plain_seconds", s.plain_seconds},
          {"interval_seconds", s.interval_seconds},
          {"share_of_time", s.share()}};
}

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("bench", "Times each op of real training steps; with --roof beside what the machine could do.\n"
                      "With --generate: of generation, one token after the other. With --checkpoint: of saving and restoring.",
                      "tokenwerk bench --roof configs/tiny-cpu.toml\n  tokenwerk bench --generate configs/gpt2-124m.toml --generate.quantization int8\n  tokenwerk bench --checkpoint configs/gpt2-124m.toml --out /scratch\n  mpirun -np 2 --bind-to none tokenwerk bench --roof --training.dtype bf16");
  bool roof_wanted = false, json = false, whole = false, plain = false, generate = false, checkpoint = false;
  std::string out;
  int64_t steps = 5, tokens = 128;
  arguments.flag("--roof", roof_wanted, "Measure matrix products, memory, disk and exchange first, and how far each op is from them");
  arguments.option("--steps", steps, "Steps that are measured (5)");
  arguments.flag("--whole", whole, "All micro batches of a step, as training.global_batch_size says; else one a rank");
  arguments.flag("--plain", plain, "Whole steps alone, as training runs them: no op is timed");
  arguments.flag("--generate", generate, "Generation instead of training: tokens a second, and how fast the weights are read");
  arguments.option("--tokens", tokens, "Tokens that are generated with --generate (128)");
  arguments.flag("--checkpoint", checkpoint, "Checkpoints instead: writing against the bare disk, what training loses, restoring");
  arguments.option("--out", out, "Folder that is written to with --checkpoint; else checkpoint.dir or run.dir");
  arguments.flag("--json", json, "Print everything as JSON to standard output");
  arguments.allow_settings();
  arguments.allow_device();
  if (!arguments.parse(words)) return ExitCode::ok;
  TW_CHECK(steps >= 1 && steps <= 10000, config, "--steps {}: 1 to 10000", steps);
  TW_CHECK(tokens >= 1 && tokens <= 1 << 20, config, "--tokens {}: 1 to 2^20", tokens);
  TW_CHECK(!generate || (!whole && !plain), config, "--whole and --plain are of training steps, --generate is not");
  TW_CHECK(!checkpoint || (!whole && !plain && !generate), config, "--whole, --plain and --generate do not go with --checkpoint");
  TW_CHECK(out.empty() || checkpoint, config, "--out is the folder of --checkpoint");
  Config config = load_config({arguments.config_files().begin(), arguments.config_files().end()}, arguments.settings());
  const bool leader = world.rank() == 0;
  Compute compute(config, world);
  ThreadTeam& team = compute.team();
  const Stream stream = compute.stream();
  const auto say = [&](const std::string& what) {
    stop_if_asked();
    if (leader) log_info("measuring {} ...", what);
  };

  Json result = {{"ranks", world.size()}, {"threads", team.size()}};
  std::optional<Roof> roof;
  if (roof_wanted) {
    roof = measure_roof(world, stream, say);
    std::vector<AllReduceSpeed> exchange;
    if (world.size() > 1) {
      say("exchange between ranks");
      exchange = measure_all_reduce(world, stream, true, 0.5);
      for (const AllReduceSpeed& s : exchange) roof->exchange_rate = std::max(roof->exchange_rate, s.wire_rate(world.size()));
      roof->exchange_seconds = exchange.front().seconds;
    }
    say("the disk");
    const fs::path folder = existing_folder(config.get<std::string>("run.dir"));
    DiskSpeed disk;
    FileSystem system;
    if (leader) disk = measure_disk(folder, int64_t(256) << 20, 3, 4), system = file_system_of(folder);
    world.barrier();
    if (leader && json) result["roof"] = to_json(*roof, exchange, disk, system);
    if (leader && !json) {
      const std::string text = roof_table(*roof, team.size(), world.size()) + exchange_table(exchange, world.size()) +
                               disk_line(disk, system, folder.string()) + "\n";
      print(text);
      flush_output();
    }
  }
  if (checkpoint) {
    fs::path folder = out;
    for (const char* key : {"checkpoint.dir", "run.dir"})
      if (folder.empty()) folder = config.get<std::string>(key);
    if (out.empty()) folder = existing_folder(folder);
    const SaveSpeed speed = measure_saving(config, world, stream, {.folder = folder, .say = say});
    if (!leader) return ExitCode::ok;
    if (json) result["checkpoint"] = to_json(speed);
    print((json ? result.dump() : saving_table(speed, fmt::format("{} ({})", folder.string(), file_system_of(folder).kind))) + "\n");
    return ExitCode::ok;
  }
  if (generate) {
    if (!leader) return ExitCode::ok;  // as the command generate: one rank is enough
    say("generation");
    const GenerationOptions options{.tokens = tokens, .dtype = dtype_of(config),
                                    .quantization = quantization_named(config.get<std::string>("generate.quantization")),
                                    .roof = roof ? &*roof : nullptr, .on_tokens = [] { stop_if_asked(); }};
    if (config.get<int64_t>("model.max_position_embeddings") == 0)
      config.set("model.max_position_embeddings", std::max(config.get<int64_t>("training.seq_len"), options.prompt + 2 * tokens), "bench");
    const int64_t vocab = config.get<int64_t>(config.get<int64_t>("model.vocab_size") > 0 ? "model.vocab_size" : "tokenizer.vocab_size");
    const GenerationReport report = measure_generation(resolve_model(config, vocab, std::nullopt), stream, options);
    if (json) result["generation"] = to_json(report);
    print((json ? result.dump() : generation_table(report, roof_wanted)) + "\n");
    return ExitCode::ok;
  }
  say("training steps");
  const EnergyMeter meter(energy_options(config), world, compute.gpus());
  const StepReport step = measure_step(config, world, stream, {.steps = int(steps), .plain = plain, .whole = whole, .roof = roof ? &*roof : nullptr,
                                                               .joules = [&] { return meter.kind() == EnergyKind::none ? 0.0 : meter.joules(); },
                                                               .on_step = [](int) { stop_if_asked(); }});
  if (!leader) return ExitCode::ok;
  if (json) result["step"] = to_json(step, roof_wanted);
  print((json ? result.dump() : step_table(step, roof_wanted)) + "\n");
  return ExitCode::ok;
}

}  // namespace

const Command kBench = {"bench", "how fast the machine and each op of a training step are", run};

}  // namespace tw
