#include "src/cli/provenance.h"

#include <algorithm>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>

#include "src/codec/text/tokenizer.h"
#include "src/config/load.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/json_guard.h"
#include "src/core/utf8.h"
#include "src/data/provenance.h"
#include "src/data/scan.h"
#include "src/meter/status.h"
#include "src/train/training_options.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kStepsShown = 10;
constexpr int64_t kTokensShown = 30;  // on each side

struct OpenFile {
  std::shared_ptr<const TokenFile> file;
  std::string split;    // "train", "val", "test", "" = unknown
  int64_t number = -1;  // among the files of a run's data.train, -1 = not one
};

// What a run was trained on, so far as its folder still tells.
struct Run {
  fs::path folder;
  std::vector<OpenFile> files;
  std::shared_ptr<const Batches> batches;  // null where nothing was trained
  int64_t seq_len = 0, step_samples = 0, steps_done = 0;
  std::string note;  // why the steps may not be trusted, or are not known
};

bool is_run(const fs::path& path) { return fs::exists(path / "config.toml") || fs::is_directory(path / "tokens"); }

// train.json; null where there is none.
nlohmann::json training_record(const fs::path& run) {
  if (!fs::exists(run / "train.json")) return {};
  const std::string text = read_file(run / "train.json", 1 << 24);
  check_json_structure(text, {}, (run / "train.json").string());
  return nlohmann::json::parse(text, nullptr, false);
}

int64_t steps_done(const fs::path& run, const nlohmann::json& record) {
  int64_t steps = 0;
  if (const auto status = read_status(run)) steps = status->step;
  if (record.is_object() && record.contains("step")) steps = std::max(steps, whole_number(record["step"]).value_or(0));
  return steps;
}

std::string trained_fingerprint(const nlohmann::json& record) {
  const bool known =
      record.is_object() && record.contains("data_fingerprint") && record["data_fingerprint"].is_string();
  return known ? record["data_fingerprint"].get<std::string>() : "";
}

// Names of token files are relative to where the run was started; a run that was moved still has its own.
fs::path find_tokens(const fs::path& run, const std::string& name) {
  if (fs::exists(name)) return name;
  const fs::path own = run / "tokens" / fs::path(name).filename();
  return fs::exists(own) ? own : fs::path(name);
}

Run open_run(const fs::path& folder) {
  Run run;
  run.folder = folder;
  std::vector<fs::path> taken;
  const auto take = [&](const fs::path& path, const std::string& split, int raw_bits) -> OpenFile* {
    for (size_t i = 0; i < taken.size(); ++i) {
      std::error_code error;
      if (fs::equivalent(taken[i], path, error)) return &run.files[i];
    }
    taken.push_back(path);
    return &run.files.emplace_back(OpenFile{TokenFile::open(path, raw_bits), split});
  };
  for (const char* split : {"train", "val", "test"})
    if (const fs::path path = folder / "tokens" / (std::string(split) + ".h5"); fs::exists(path)) take(path, split, 0);
  if (!fs::exists(folder / "config.toml")) return run;
  const Config config = load_config({folder / "config.toml"}, {});
  const int raw_bits = config.get<int>("data.raw_bits");
  std::vector<std::shared_ptr<const TokenFile>> trained;
  for (const std::string& name : config.get<std::vector<std::string>>("data.train")) {
    OpenFile* file = take(find_tokens(folder, name), "train", raw_bits);
    if (file->number < 0) file->number = int64_t(trained.size());
    trained.push_back(file->file);
  }
  for (const std::string& name : config.get<std::vector<std::string>>("data.val"))
    take(find_tokens(folder, name), "val", raw_bits);
  const nlohmann::json record = training_record(folder);
  run.steps_done = steps_done(folder, record);
  run.step_samples = config.get<int64_t>("training.global_batch_size");
  if (trained.empty() || run.steps_done == 0 || run.step_samples == 0) return run;
  run.seq_len = config.get<int64_t>("training.seq_len");
  run.batches = resolve_data(config, trained, config.get<int64_t>("model.vocab_size"), run.step_samples).batches;
  const std::string then = trained_fingerprint(record), now = run.batches->fingerprint();
  if (!then.empty() && then != now)
    run.note = fmt::format(
        "the token files or data settings are not those it was trained with (fingerprint {} then, {} now)", then, now);
  return run;
}

std::vector<Run> open_all(const std::vector<fs::path>& data, int raw_bits) {
  std::vector<Run> runs;
  for (const fs::path& path : data) {
    TW_CHECK(fs::exists(path), no_input, "{} does not exist", path.string());
    if (fs::is_directory(path)) {
      TW_CHECK(is_run(path), no_input, "{} is neither a token file nor a run folder", path.string());
      runs.push_back(open_run(path));
      continue;
    }
    Run& alone = runs.emplace_back();
    const bool in_run = fs::absolute(path).parent_path().filename() == "tokens";
    alone.files.push_back({TokenFile::open(path, raw_bits), in_run ? path.stem().string() : ""});
  }
  return runs;
}

std::string steps_text(const SpanUses& uses) {
  std::string text;
  for (size_t i = 0; i < std::min(kStepsShown, uses.steps.size()); ++i)
    text += (i ? ", " : "") + std::to_string(uses.steps[i]);
  if (uses.steps.size() > kStepsShown) text += fmt::format(", … {}", uses.steps.back());
  return text;
}

nlohmann::json to_json(const SpanUses& uses, const TokenSpan& span, const Run& run) {
  nlohmann::json steps = nlohmann::json::array();
  for (size_t i = 0; i < std::min<size_t>(1000, uses.steps.size()); ++i) steps.push_back(uses.steps[i]);
  return {{"run", run.folder.string()},
          {"steps_done", run.steps_done},
          {"samples", uses.samples},
          {"times_seen", double(uses.tokens) / double(std::max<int64_t>(1, span.tokens))},
          {"steps_that_saw_it", uses.steps.size()},
          {"first_step", uses.steps.empty() ? nlohmann::json() : nlohmann::json(uses.steps.front())},
          {"last_step", uses.steps.empty() ? nlohmann::json() : nlohmann::json(uses.steps.back())},
          {"steps", std::move(steps)},
          {"note", run.note}};
}

std::string uses_text(const SpanUses& uses, const TokenSpan& span, const Run& run) {
  std::string text = uses.steps.empty() ? fmt::format("not seen in {} steps", run.steps_done)
                                        : fmt::format("seen {:.2f} times, at {} of {} steps: {}",
                                                      double(uses.tokens) / double(std::max<int64_t>(1, span.tokens)),
                                                      uses.steps.size(), run.steps_done, steps_text(uses));
  return run.note.empty() ? text : text + "\n    but " + run.note;
}

std::string or_unknown(const std::string& text) { return text.empty() ? "unknown" : text; }

nlohmann::json to_json(const OpenFile& f, const Document& d, size_t number) {
  return {{"file", f.file->path().string()},
          {"split", f.split},
          {"document", number},
          {"path", d.path},
          {"sha256", d.sha256},
          {"licence", d.licence},
          {"bytes", d.bytes},
          {"first_token", d.first_token},
          {"tokens", d.tokens}};
}

// What became of the file when its folder was scanned. Of one that was not read for its bytes' sake (a duplicate) the
// tokens are found by their SHA-256.
void look_into(const fs::path& inventory, SourceQuery& query, std::string& text, nlohmann::json& json) {
  const Inventory scanned = read_inventory(inventory);
  for (const ScannedFile& f : scanned.files) {
    const bool by_path = !query.path.empty() && (f.path == query.path || query.path.ends_with("/" + f.path));
    if (!by_path && (query.sha256.empty() || f.sha256 != query.sha256)) continue;
    if (query.sha256.empty()) query.sha256 = f.sha256;
    const bool used = f.state == FileState::used;
    // A picture stands in a page, a caption belongs to a picture, which may stand in one.
    std::string within;
    constexpr int kDeepest = 2;  // the inventory may come from anyone: parts of each other have no end
    const ScannedFile* part = &f;
    for (int depth = 0; part && !part->part_of.empty() && depth < kDeepest; ++depth) {
      query.within.push_back(part->part_of);
      within += ", a part of " + part->part_of;
      const auto owner = std::find_if(scanned.files.begin(), scanned.files.end(), [&](const ScannedFile& g) { return g.path == part->part_of; });
      part = owner == scanned.files.end() ? nullptr : &*owner;
    }
    text += fmt::format("\n{}: {} {}{}", inventory.string(), f.path,
                        used ? std::string("is used for ") + name_of(f.split) : "is not used: " + f.reason, within);
    json.push_back({{"inventory", inventory.string()},
                    {"path", f.path},
                    {"sha256", f.sha256},
                    {"used", used},
                    {"part_of", f.part_of},
                    {"reason", f.reason}});
  }
}

}  // namespace

void find_source(const std::string& source, const std::vector<fs::path>& data, int raw_bits, std::string& text,
                 nlohmann::json& json) {
  SourceQuery query = source_query(source);
  json = {{"kind", "provenance"},
          {"source", source},
          {"documents", nlohmann::json::array()},
          {"scanned", nlohmann::json::array()}};
  for (const fs::path& path : data)
    if (fs::exists(path / "inventory.json")) look_into(path / "inventory.json", query, text, json["scanned"]);
  json["sha256"] = query.sha256;
  size_t found = 0;
  for (const Run& run : open_all(data, raw_bits)) {
    std::vector<TokenSpan> spans;
    std::vector<size_t> span_of;  // of documents that are trained on, the index in `documents`
    std::vector<std::string> lines;
    const size_t before = json["documents"].size();
    for (const OpenFile& f : run.files)
      for (const size_t i : documents_from(*f.file, query)) {
        const Document& d = f.file->documents()[i];
        lines.push_back(fmt::format("\n{}\n  sha256 {}\n  licence {}\n  {}{}: tokens {} to {} ({} of {} of text)",
                                    d.path, or_unknown(d.sha256), or_unknown(d.licence), f.file->path().string(),
                                    f.split.empty() ? "" : " (" + f.split + ")", d.first_token,
                                    d.first_token + d.tokens - 1, d.tokens, human_bytes(double(d.bytes))));
        json["documents"].push_back(to_json(f, d, i));
        json["documents"].back()["runs"] = nlohmann::json::array();
        if (f.number < 0 || !run.batches) continue;
        spans.push_back({size_t(f.number), d.first_token, d.tokens});
        span_of.push_back(lines.size() - 1);
      }
    found += lines.size();
    if (run.batches) {
      const auto uses = uses_of(*run.batches, run.seq_len, run.steps_done, run.step_samples, spans);
      for (size_t s = 0; s < spans.size(); ++s) {
        lines[span_of[s]] += fmt::format("\n  {}: {}", run.folder.string(), uses_text(uses[s], spans[s], run));
        json["documents"][before + span_of[s]]["runs"].push_back(to_json(uses[s], spans[s], run));
      }
    }
    for (const std::string& line : lines) text += line;
  }
  json["found"] = found;
  text = fmt::format("{}: {} document{}{}", source, found, found == 1 ? "" : "s",
                     found ? "" : ", no token comes from it") +
         text;
}

void show_token(const fs::path& data, const std::string& split, int64_t number, const fs::path& tokenizer_file,
                int raw_bits, std::string& text, nlohmann::json& json) {
  const std::vector<Run> all = open_all({data}, raw_bits);
  const Run& run = all.front();
  const OpenFile* f = nullptr;
  for (const OpenFile& file : run.files)
    if (!f && (run.folder.empty() || file.split == split)) f = &file;
  TW_CHECK(f, no_input, "{} has no token file of the split \"{}\"", data.string(), split);
  const TokenFile& file = *f->file;
  TW_CHECK(number >= 0 && number < file.size(), config, "--token {}: {} has tokens 0 to {}", number,
           file.path().string(), file.size() - 1);
  const Document& d = file.document_of(number);
  const size_t index = size_t(&d - file.documents().data());
  const int32_t id = file[number];
  text = fmt::format("token {} of {}{}: id {}", number, file.path().string(),
                     f->split.empty() ? "" : " (" + f->split + ")", id);
  json = {{"kind", "token"},
          {"token", number},
          {"id", id},
          {"document", to_json(*f, d, index)},
          {"runs", nlohmann::json::array()}};

  fs::path path = tokenizer_file;
  const fs::path folder = fs::absolute(file.path()).parent_path();
  for (const fs::path& beside :
       {run.folder / "tokenizer.json", folder / "tokenizer.json", folder.parent_path() / "tokenizer.json"})
    if (path.empty() && fs::exists(beside)) path = beside;
  int64_t part = 0;  // of a file that holds several documents
  for (int64_t t = d.first_token; t < number; ++t) part += file.eod() >= 0 && file[t] == file.eod();
  std::string around;
  if (!path.empty()) {
    const auto tokenizer = TextTokenizer::load(path);
    TW_CHECK(file.tokenizer_hash().empty() || tokenizer->hash() == file.tokenizer_hash(), data,
             "{} was made with another tokenizer than {}: name it with --tokenizer", file.path().string(),
             path.string());
    const auto decode = [&](int64_t begin, int64_t end) {
      std::vector<int32_t> ids;
      for (int64_t t = std::max(begin, d.first_token); t < std::min(end, d.first_token + d.tokens); ++t)
        ids.push_back(file[t]);
      return tokenizer->decode(ids);
    };
    // Bytes of the text before it: ends of documents are none of the text's, and some tokenizers begin with a space.
    int64_t bytes = 0;
    for (int64_t t = d.first_token; t < number; ++t)
      if (file[t] != file.eod()) bytes += int64_t(tokenizer->token_bytes(file[t]).size());
    if (number > d.first_token)
      bytes += int64_t(decode(d.first_token, d.first_token + 1).size()) -
               int64_t(tokenizer->token_bytes(file[d.first_token]).size());
    const std::string before = repaired_utf8(decode(number - kTokensShown, number)),
                      own = repaired_utf8(decode(number, number + 1)),
                      after = repaired_utf8(decode(number + 1, number + 1 + kTokensShown));
    text += fmt::format(" \"{}\"", own);
    around = fmt::format("\n  {}⟦{}⟧{}", before, own, after);
    json["byte"] = bytes;
    json["text"] = {{"before", before}, {"token", own}, {"after", after}};
  }
  json["document_token"] = number - d.first_token;
  json["part"] = part;
  text += fmt::format(
      "\n  token {} of {} in {}{}{}\n  document {} of {}, sha256 {}\n  licence {}", number - d.first_token, d.tokens,
      d.path,
      json.contains("byte") ? fmt::format(", byte {} of {} of its text", json["byte"].get<int64_t>(), d.bytes) : "",
      part > 0 ? fmt::format(", behind {} ends of documents in it", part) : "", index, file.documents().size(),
      or_unknown(d.sha256), or_unknown(d.licence));
  if (run.batches && f->number >= 0) {
    const TokenSpan span{size_t(f->number), number, 1};
    const SpanUses uses = uses_of(*run.batches, run.seq_len, run.steps_done, run.step_samples, {&span, 1}).front();
    text += fmt::format("\n  {}: {}", run.folder.string(), uses_text(uses, span, run));
    json["runs"].push_back(to_json(uses, span, run));
  }
  text += around;
}

}  // namespace tw
