// inspect and verify: what a file or folder of ours holds; verify reads every byte.
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "src/checkpoint/base.h"
#include "src/checkpoint/names.h"
#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/provenance.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/sandbox.h"
#include "src/data/token_file.h"
#include "src/interop/hf.h"
#include "src/interop/model_source.h"
#include "src/interop/safetensors.h"
#include "src/meter/report.h"
#include "src/meter/status.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr int kPatience = 7 * 24 * 3600;  // seconds: a whole archive of checkpoints may be verified

struct Finding {
  std::string text;
  nlohmann::json json;
  bool ok = true;
};

Finding checkpoint(const fs::path& path, bool read_data) {
  const CheckpointReport r = verify_checkpoint(path, read_data);
  Finding f{describe(r), {{"kind", "checkpoint"}, {"folder", r.folder.string()}, {"step", r.info.step}, {"samples", r.info.samples},
                          {"tokens", r.info.tokens}, {"attempt", r.attempt}, {"verified", r.verified}, {"damage", r.damage}},
            r.ok()};
  if (r.info.joules >= 0) f.json["joules"] = r.info.joules;
  if (std::isfinite(r.info.validation_loss)) f.json["validation_loss"] = r.info.validation_loss;
  if (!r.info.adapter_json.empty()) {
    f.json["adapters"] = nlohmann::json::parse(r.info.adapter_json, nullptr, false), f.json["base"] = r.info.base_hash;
    try {
      // All that the adapters need is opened with them; without reading, their base is looked for.
      if (read_data) load_model(r.folder);
      else base_of(Checkpoint::open(r.folder, false));
    } catch (const Error& e) {
      f.text += std::string(e.what()) + "\n", f.json["damage"].push_back(e.what()), f.ok = false;
    }
  }
  for (const auto& t : r.tensors)
    f.json["tensors"].push_back({{"name", t.name}, {"slot", t.slot}, {"shape", t.shape.str()}, {"ok", t.ok}});
  return f;
}

Finding token_file(const fs::path& path, int raw_bits, bool read_data) {
  const auto file = TokenFile::open(path, raw_bits, read_data);
  Finding f;
  f.text = fmt::format("token file {}\n  {} tokens of {} bits, vocabulary {}, end of document {}\n  {} documents, {} of text{}\n  tokenizer {}\n  tokens {}{}",
                       path.string(), file->size(), file->bits(), file->vocab_size(), file->eod() < 0 ? "unknown" : std::to_string(file->eod()),
                       file->documents().size(),
                       human_bytes(double(file->source_bytes())),
                       file->source_bytes() > 0 ? fmt::format(", {:.2f} bytes a token", double(file->source_bytes()) / double(file->size())) : "",
                       file->tokenizer_hash().empty() ? "unknown" : file->tokenizer_hash(), file->checksum(),
                       read_data ? ", checked" : "");
  f.json = {{"kind", "token file"}, {"file", path.string()}, {"tokens", file->size()}, {"bits", file->bits()},
            {"vocab_size", file->vocab_size()}, {"eod", file->eod()}, {"documents", file->documents().size()}, {"bytes", file->source_bytes()},
            {"tokenizer_hash", file->tokenizer_hash()}, {"tokens_xxh3", file->checksum()}, {"verified", read_data}};
  constexpr size_t kShown = 20;
  for (size_t i = 0; i < std::min(kShown, file->documents().size()); ++i) {
    const Document& d = file->documents()[i];
    f.text += fmt::format("\n  {:>10} tokens  {}", d.tokens, d.path);
  }
  if (file->documents().size() > kShown) f.text += fmt::format("\n  and {} more", file->documents().size() - kShown);
  return f;
}

Finding safetensors(const fs::path& path) {
  const SafetensorsFile file(path);
  Finding f{fmt::format("safetensors {}: {} tensors", path.string(), file.entries().size()), {{"kind", "safetensors"}, {"file", path.string()}}};
  for (const auto& e : file.entries()) {
    f.text += fmt::format("\n  {:<5} {:>12}  {}", e.dtype, e.count(), e.name);
    f.json["tensors"].push_back({{"name", e.name}, {"dtype", e.dtype}, {"shape", e.shape}});
  }
  return f;
}

Finding tokenizer(const fs::path& path) {
  const auto t = TextTokenizer::load(path);
  return {fmt::format("tokenizer {}\n  {} tokens, bos {}, eos {}, any bytes come back: {}\n  sha256 {}", path.string(), t->vocab_size(),
                      t->bos_id(), t->eos_id(), t->lossless() ? "yes" : "no", t->hash()),
          {{"kind", "tokenizer"}, {"file", path.string()}, {"vocab_size", t->vocab_size()}, {"bos", t->bos_id()}, {"eos", t->eos_id()},
           {"lossless", t->lossless()}, {"hash", t->hash()}}};
}

Finding hugging_face(const fs::path& path) {
  const ModelConfig model = read_hf_config(path);
  const int64_t count = ParameterTable(model).parameter_count();
  return {fmt::format("Hugging Face folder {}\n  {}, {} parameters\n  {}", path.string(), name_of(model.type), human_count(double(count)),
                      to_json(model).dump()),
          {{"kind", "hugging face"}, {"folder", path.string()}, {"parameters", count}, {"model", to_json(model)}}};
}

// Everything of a run that can be checked.
Finding run_folder(const fs::path& path, bool read_data) {
  Finding f{summary_table(path), {{"kind", "run"}, {"folder", path.string()}}};
  if (const auto status = read_status(path))
    f.json["status"] = {{"state", std::string(name_of(status->state))}, {"exit_code", status->exit_code}, {"reason", status->reason},
                        {"step", status->step}, {"steps", status->steps}};
  const auto take = [&](const char* key, auto&& look) {
    try {
      const Finding part = look();
      f.text += "\n\n" + part.text;
      f.json[key].push_back(part.json);
      f.ok = f.ok && part.ok;
    } catch (const Error& e) {
      f.text += std::string("\n\n") + e.what();
      f.json["damage"].push_back(e.what());
      f.ok = false;
    }
  };
  for (const char* split : {"train", "val", "test"})
    if (const fs::path file = path / "tokens" / (std::string(split) + ".h5"); fs::exists(file))
      take("token_files", [&] { return token_file(file, 0, read_data); });
  for (const CheckpointFolder& c : list_checkpoints(path / "checkpoints"))
    if (c.committed) take("checkpoints", [&] { return checkpoint(c.path, read_data); });
  std::error_code none;
  for (const fs::directory_entry& base : fs::directory_iterator(path / "checkpoints" / kBaseName, none))
    if (base.is_directory()) take("bases", [&] { return checkpoint(base.path(), read_data); });
  return f;
}

Finding look(const fs::path& path, int raw_bits, bool read_data) {
  if (!fs::exists(path) && path.filename() == kBestName) return checkpoint(path, read_data);
  TW_CHECK(fs::exists(path), no_input, "{} does not exist", path.string());
  if (fs::is_directory(path)) {
    if (fs::exists(path / "config.json")) return hugging_face(path);
    if (fs::exists(path / "status.json") || fs::exists(path / "config.toml")) return run_folder(path, read_data);
    return checkpoint(path, read_data);
  }
  const std::string extension = path.extension().string();
  if (path.filename() == kManifestName) return checkpoint(path.parent_path(), read_data);
  if (extension == ".safetensors") return safetensors(path);
  if (extension == ".json" || extension == ".model" || extension == ".tiktoken") return tokenizer(path);
  if (extension == ".h5" && fs::exists(path.parent_path() / kManifestName)) return checkpoint(path.parent_path(), read_data);
  return token_file(path, raw_bits, read_data);
}

ExitCode show(const char* command, const char* purpose, const char* examples, bool read_data, const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments(command, purpose, std::string("tokenwerk ") + command + " runs/first" + examples);
  std::vector<std::string> paths, data;
  std::string source, tokenizer_file, split = "train";
  bool json = false;
  int64_t raw_bits = 0, token = -1;
  arguments.words("PATH", paths, "Run, checkpoint, token file, tokenizer, safetensors or Hugging Face folder");
  if (!read_data) {
    arguments.option("--provenance", source, "Which tokens of PATH come from this file (path or SHA-256), and which steps of a run saw them");
    arguments.options("--data", data, "More token files and runs to look into");
    arguments.option("--token", token, "Where this token of PATH comes from, with the text around it");
    arguments.option("--split", split, "Of a run whose token is asked for: train, val or test (default train)");
    arguments.option("--tokenizer", tokenizer_file, "Tokenizer where none lies beside the tokens");
  }
  arguments.option("--raw-bits", raw_bits, "The file holds bare ids of 16 or 32 bits");
  arguments.flag("--json", json, "Print JSON");
  if (!arguments.parse(words)) return ExitCode::ok;
  if (world.rank() != 0) return ExitCode::ok;
  paths.insert(paths.end(), data.begin(), data.end());
  const bool one = source.empty() || token >= 0;
  TW_CHECK(one ? paths.size() == 1 : !paths.empty(), config, "tokenwerk {} takes {} PATH, not {}; see tokenwerk {} --help", command,
           one ? "one" : "at least one", paths.size(), command);
  TW_CHECK(source.empty() || token < 0, config, "--provenance and --token do not go together");
  const std::string path = paths.front();
  // Whatever is asked about may come from anyone: it is read by a process that can do nothing but read.
  const SandboxLimits limits{.calls = SystemCalls::files, .memory = int64_t(16) << 30, .cpu_seconds = kPatience,
                             .wall = std::chrono::seconds(kPatience), .result = int64_t(1) << 30};
  const std::string shown = run_sandboxed(path, limits, [&] {
    Finding f;
    if (!source.empty()) find_source(source, {paths.begin(), paths.end()}, int(raw_bits), f.text, f.json);
    else if (token >= 0) show_token(path, split, token, tokenizer_file, int(raw_bits), f.text, f.json);
    else f = look(path, int(raw_bits), read_data);
    return (f.ok ? "+" : "-") + (json ? f.json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) : f.text) + "\n";
  });
  TW_CHECK(!shown.empty(), data, "{}: its reader found nothing", path);
  print(shown.substr(1));
  TW_CHECK(shown[0] == '+', data, "{} is damaged, see above", path);
  if (read_data && !json) print("whole: every byte was read and agrees with its sums\n");
  return ExitCode::ok;
}

}  // namespace

const Command kInspect = {"inspect", "what a run, checkpoint, token file, tokenizer or model holds",
                          [](const std::vector<std::string>& words, Communicator& world) {
                            return show("inspect", "Shows what a file or folder holds, and where tokens come from.",
                                        "\n  tokenwerk inspect runs/first --provenance handbook/chapter1.md"
                                        "\n  tokenwerk inspect runs/first --token 12345",
                                        false, words, world);
                          }};
const Command kVerify = {"verify", "reads every byte of a run, checkpoint or token file and checks its sums",
                         [](const std::vector<std::string>& words, Communicator& world) {
                           return show("verify", "Reads every byte and checks it against its sums; ends with 65 where one is wrong.",
                                       "", true, words, world);
                         }};

}  // namespace tw
