#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "src/cli/arguments.h"
#include "src/cli/artefacts.h"
#include "src/cli/command.h"
#include "src/cli/compute.h"
#include "src/cli/evaluation.h"
#include "src/cli/job.h"
#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/log.h"
#include "src/core/utf8.h"
#include "src/data/scan.h"
#include "src/generate/forecast.h"
#include "src/generate/recitation.h"
#include "src/interop/npy.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kExamples = 5;  // recited passages that are shown

using Files = std::vector<std::pair<std::string, std::shared_ptr<const TokenFile>>>;  // by name

std::vector<std::shared_ptr<const TokenFile>> without_names(const Files& files) {
  std::vector<std::shared_ptr<const TokenFile>> all;
  for (const auto& file : files) all.push_back(file.second);
  return all;
}

// The language the inventory of a run gives for a path, "" where there is none.
std::function<std::string(const std::string&)> languages_of(const RunFolder& run) {
  auto known = std::make_shared<std::map<std::string, std::string>>();
  try {
    if (fs::exists(run.inventory()))
      for (const ScannedFile& f : read_inventory(run.inventory()).files) known->emplace(f.path, f.language);
  } catch (const Error& e) {
    log_warning("languages are not known: {}", e.what());
  }
  return [known](const std::string& path) {
    const auto it = known->find(path);
    return it == known->end() ? std::string() : it->second;
  };
}

nlohmann::json to_json(const Recitation& r) {
  return {{"tested", r.tested}, {"recited", r.recited}, {"mean_match", r.mean_match}};
}

// Passages of the training text, and of held-out text for comparison.
nlohmann::json memorisation(const ModelAtWork& m, const TokenFile& training, const Files& held_out, const Config& config, const Stream& stream) {
  RecitationOptions options{.passages = config.get<int64_t>("eval.memorisation_passages"),
                            .prompt_tokens = config.get<int64_t>("eval.memorisation_prompt"),
                            .continuation_tokens = config.get<int64_t>("eval.memorisation_continuation")};
  if (options.passages == 0 || !m.tokenizer) return nullptr;
  const int64_t half = m.model.max_position_embeddings / 2;
  if (half == 0) return nullptr;
  options.prompt_tokens = std::min(options.prompt_tokens, half);
  options.continuation_tokens = std::min(options.continuation_tokens, half);
  Generator generator(m.model, m.table, m.inference_weights(), stream);
  const Recitation known = test_recitation(generator, training, options);
  Recitation control;
  for (const auto& file : held_out) {
    RecitationOptions rest = options;
    rest.passages -= control.tested;
    const Recitation r = test_recitation(generator, *file.second, rest);
    if (r.tested == 0) continue;
    control.mean_match = (control.mean_match * double(control.tested) + r.mean_match * double(r.tested)) / double(control.tested + r.tested);
    control.tested += r.tested, control.recited += r.recited;
  }
  nlohmann::json json = {{"prompt_tokens", options.prompt_tokens},
                         {"continuation_tokens", options.continuation_tokens},
                         {"training", to_json(known)},
                         {"held_out", to_json(control)},
                         {"examples", nlohmann::json::array()}};
  for (size_t i = 0; i < std::min(kExamples, known.passages.size()); ++i) {
    const RecitedPassage& p = known.passages[i];
    const auto text = [&](int64_t begin, int64_t count) {
      std::vector<int32_t> ids;
      for (int64_t t = begin; t < begin + count; ++t) ids.push_back(training[t]);
      return repaired_utf8(m.text().decode(ids, true));
    };
    json["examples"].push_back({{"path", training.documents()[size_t(p.document)].path},
                                {"prompt", text(p.first_token, options.prompt_tokens)},
                                {"text", text(p.first_token + options.prompt_tokens, options.continuation_tokens)}});
  }
  return json;
}

std::string memorisation_line(const nlohmann::json& m) {
  const auto share = [](const nlohmann::json& r) { return fmt::format("{} of {}", r["recited"].get<int64_t>(), r["tested"].get<int64_t>()); };
  return fmt::format("recited word for word, {} tokens after {}: {} passages of training text, {} of held-out text",
                     m["continuation_tokens"].get<int64_t>(), m["prompt_tokens"].get<int64_t>(), share(m["training"]), share(m["held_out"]));
}

}  // namespace

namespace {

// Held-out series gone on with.
nlohmann::json forecasts_of(const ModelAtWork& m, const Files& files, const Job& job) {
  nlohmann::json out = nlohmann::json::array();
  ForecastOptions o{.windows = job.config.get<int64_t>("eval.forecasts"), .horizon = job.config.get<int64_t>("eval.forecast_horizon"), .context = m.model.max_position_embeddings, .sampling = {}};
  if (!m.tokenizer || o.windows == 0 || IdSpace(*m.tokenizer).ranges().empty()) return out;
  o.sampling.seed = job.config.get<uint64_t>("generate.seed");
  const CodecSet codecs = codecs_of(m);
  Generator generator(m.model, m.table, m.inference_weights(), job.stream);
  for (const CodecRange& range : codecs.ids().ranges()) {
    if (codecs.of(range).step_id() < 0) continue;
    for (const auto& [name, file] : files) {
      stop_if_asked();
      const ForecastResult r = test_forecasts(generator, codecs.of(range), range, *file, o);
      if (r.tracks.empty()) continue;
      const auto score = [](const ForecastScore& s) {
        return nlohmann::json{{"track", s.track}, {"mase", s.mase}, {"last_value", s.last_value}, {"seasonal", s.seasonal}, {"coverage", s.coverage}, {"values", s.values}};
      };
      nlohmann::json tracks = nlohmann::json::array();
      for (const ForecastScore& s : r.tracks) tracks.push_back(score(s));
      const ForecastScore all = r.mean();
      out.push_back({{"kind", range.name}, {"split", name}, {"windows", r.windows}, {"horizon", o.horizon}, {"samples", o.samples}, {"tokens", r.tokens}, {"mean", score(all)}, {"tracks", std::move(tracks)}});
      log_info("{}, {}: forecast {} rows at {} places: MASE {:.3f} (last value {:.3f}, last season {:.3f}); {:.0f} % of the values between the 10th and the 90th percentile", range.name,
               name, o.horizon, r.windows, all.mase, all.last_value, all.seasonal, 100 * all.coverage);
    }
  }
  return out;
}

}  // namespace

void evaluate_step(Job& job) {
  Files files;
  for (const Split split : {Split::val, Split::test})
    if (fs::exists(job.run.tokens(split))) files.emplace_back(name_of(split), TokenFile::open(job.run.tokens(split)));
  if (files.empty())  // no tokens of its own: those it was trained with
    for (const std::string& file : job.config.get<std::vector<std::string>>("data.val"))
      files.emplace_back(fs::path(file).filename().string(), TokenFile::open(file, job.config.get<int>("data.raw_bits")));
  if (files.empty()) {
    if (job.leader()) log_warning("no held-out documents: nothing is evaluated");
    return;
  }
  PhaseTimer timer(job.phases(), "eval", job.meter, job.world);
  const double start = now_seconds();
  const ModelAtWork m(job.run.path(), dtype_of(job.config), job.tokenizer(), job.stream,
                      quantization_named(job.config.get<std::string>("eval.quantization")));
  // The same checkpoint on the same tokens gives the same numbers.
  std::string key = m.origin + " " + m.precision();
  for (const auto& file : files) key += " " + file.second->checksum();
  for (const char* setting : {"eval.memorisation_passages", "eval.memorisation_prompt", "eval.memorisation_continuation", "eval.forecasts", "eval.forecast_horizon"})
    key += " " + std::to_string(job.config.get<int64_t>(setting));
  for (const char* setting : {"data.reset_attention_mask", "data.reset_position_ids"})
    if (job.config.get<bool>(setting)) key += std::string(" ") + setting;
  std::string earlier;
  if (job.leader() && fs::exists(job.run.evaluation())) {
    const auto json = nlohmann::json::parse(read_file(job.run.evaluation(), 1 << 24), nullptr, false);
    if (json.is_object() && json.contains("key") && json["key"].is_string()) earlier = json["key"];
  }
  if (broadcast_text(job.world, earlier, 0) == key) {
    timer.stop(0);
    if (job.leader()) log_info("evaluation is up to date");
    return;
  }
  std::vector<EvaluatedSplit> splits =
      evaluate_files(m, files, domains_of(without_names(files), m.tokenizer.get(), languages_of(job.run)), job.config, job.world, job.stream);
  int64_t tokens = 0;
  for (const EvaluatedSplit& s : splits) tokens += s.all.tokens;
  timer.stop(tokens);
  job.on_rank_0("eval", [&] {
    std::shared_ptr<const TokenFile> training;
    if (fs::exists(job.run.tokens(Split::train))) training = TokenFile::open(job.run.tokens(Split::train));
    if (m.tokenizer) add_baselines(*m.tokenizer, training.get(), splits, job.team, job.show_progress);
    nlohmann::json out = {{"key", key},
                          {"checkpoint", m.origin},
                          {"dtype", m.precision()},
                          {"splits", nlohmann::json::array()}};
    for (const EvaluatedSplit& s : splits) out["splits"].push_back(to_json(s));
    if (training) {
      const nlohmann::json recited = memorisation(m, *training, files, job.config, job.stream);
      if (!recited.is_null()) out["memorisation"] = recited;
    }
    const nlohmann::json forecasts = forecasts_of(m, files, job);
    if (!forecasts.empty()) out["forecasts"] = forecasts;
    out["seconds"] = now_seconds() - start;
    write_file_atomically(job.run.evaluation(), out.dump(2) + "\n");
    log_info("{}", evaluation_table(splits));
    if (out.contains("memorisation")) log_info("{}", memorisation_line(out["memorisation"]));
    return int64_t(0);
  });
}

namespace {

// Logits of given ids as .npy: (T, V) for one row, (rows, T, V) for several of one length.
void write_logits(const ModelAtWork& m, const fs::path& ids_file, const fs::path& out, const Stream& stream) {
  const auto rows = read_ids(ids_file);
  TW_CHECK(!rows.empty(), data, "{} holds no ids", ids_file.string());
  const int64_t T = int64_t(rows[0].size()), V = m.model.vocab_size;
  for (const auto& row : rows)
    TW_CHECK(int64_t(row.size()) == T, data, "{}: rows of {} and {} ids: all must be of one length", ids_file.string(), T, row.size());
  Tensor all({int64_t(rows.size()), T, V}, DType::fp32);
  Generator generator(m.model, m.table, m.inference_weights(), stream);
  for (size_t r = 0; r < rows.size(); ++r) {
    const Tensor logits = generator.logits(rows[r]);
    std::copy_n(logits.as<float>(), T * V, all.as<float>() + int64_t(r) * T * V);
  }
  write_npy(out, rows.size() == 1 ? all.view().reshape({T, V}) : all.view());
  log_info("logits {} of {} in {}", rows.size() == 1 ? Shape{T, V}.str() : all.shape().str(), m.origin, out.string());
}

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("eval", "Loss, perplexity and bits per byte of held-out text, by domain, beside gzip -9, xz -9 and n-grams of order 3 and 5;\n"
                      "and whether the model recites its training text.",
                      "tokenwerk eval runs/first\n  tokenwerk eval hf-folder --data val.h5 --json\n"
                      "  tokenwerk eval hf-folder --ids ids.txt --logits logits.npy");
  std::string path, tokenizer, ids, logits, quantization;
  std::vector<std::string> data;
  bool json = false;
  arguments.word("MODEL", path, "Run, checkpoint or Hugging Face folder");
  arguments.options("--data", data, "Token file to evaluate on (may be repeated); else a run's val and test");
  arguments.option("--tokenizer", tokenizer, "Tokenizer where none lies beside the model");
  arguments.option("--quantization", quantization, "none or int8: the model as it is with weights of 8 bits (eval.quantization)");
  arguments.option("--ids", ids, "Rows of token ids (.npy or text): write their logits instead");
  arguments.option("--logits", logits, "The .npy file for them");
  arguments.flag("--json", json, "Print the result as JSON to standard output");
  arguments.allow_settings();
  arguments.allow_device();
  if (!arguments.parse(words)) return ExitCode::ok;
  TW_CHECK(ids.empty() == logits.empty(), config, "--ids and --logits go together");
  Config config = load_model_config(path, arguments);
  if (!quantization.empty()) config.set_text("eval.quantization", quantization, "command line");

  if (data.empty() && ids.empty()) {
    TW_CHECK(fs::exists(fs::path(path) / "checkpoints"), config, "{} is no run folder: name token files with --data", path);
    config.set("run.dir", path, "command line");
    if (!tokenizer.empty()) config.set("tokenizer.path", tokenizer, kTokenizerOption);
    Job job(std::move(config), "eval", words, world);
    job.show_progress = job.show_progress && !json;
    evaluate_step(job);
    if (json && job.leader() && fs::exists(job.run.evaluation())) print(read_file(job.run.evaluation()) + "\n");
    job.run.finish(ExitCode::ok, "");
    return ExitCode::ok;
  }
  Compute compute(config, world);
  const Stream stream = compute.stream();
  const ModelAtWork m(path, dtype_of(config), tokenizer, stream, quantization_named(config.get<std::string>("eval.quantization")));
  if (!ids.empty()) {
    if (world.rank() == 0) write_logits(m, ids, logits, stream);
    return ExitCode::ok;
  }
  Files files;
  for (const std::string& file : data) files.emplace_back(fs::path(file).filename().string(), TokenFile::open(file, config.get<int>("data.raw_bits")));
  std::vector<EvaluatedSplit> splits =
      evaluate_files(m, files, domains_of(without_names(files), m.tokenizer.get(), [](const std::string&) { return std::string(); }), config, world, stream);
  if (world.rank() != 0) return ExitCode::ok;
  if (m.tokenizer) add_baselines(*m.tokenizer, nullptr, splits, compute.team(), !json);
  if (json) {
    nlohmann::json out = {{"model", m.origin}, {"dtype", m.precision()}, {"splits", nlohmann::json::array()}};
    for (const EvaluatedSplit& s : splits) out["splits"].push_back(to_json(s));
    print(out.dump(2) + "\n");
  } else {
    print(evaluation_table(splits) + "\n");
  }
  return ExitCode::ok;
}

}  // namespace

const Command kEval = {"eval", "loss, perplexity and bits per byte of held-out text, and what is recited", run};

}  // namespace tw
