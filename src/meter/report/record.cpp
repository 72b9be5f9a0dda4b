#include "src/meter/report/record.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/json_guard.h"

namespace tw::report {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kMaxJson = size_t(256) << 20, kMaxConfig = 1 << 20;

Json read_json(RunRecord& run, const char* name, const char* without) {
  std::string text;
  if (!read_text(run, name, without, kMaxJson, text)) return nullptr;
  try {
    // A swarm of small values would take many times the file's size.
    check_json_structure(text, {.depth = 64, .values = std::min(text.size() / 8 + 4096, size_t(1) << 24)}, name);
    Json json = Json::parse(text);
    if (json.is_object()) return json;
    run.notes.push_back(fmt::format("{} is damaged: it is no object; {}.", name, without));
  } catch (const std::exception& e) {
    run.notes.push_back(fmt::format("{} is damaged ({}); {}.", name, shortened(e.what(), 500), without));
  }
  return nullptr;
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r"), end = text.find_last_not_of(" \t\r");
  return begin == text.npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

}  // namespace

bool read_text(RunRecord& run, const char* name, const char* without, size_t most, std::string& text) {
  const auto path = run.folder / name;
  std::error_code absent;
  if (!std::filesystem::is_regular_file(path, absent)) {
    run.notes.push_back(fmt::format("{} is missing: {}.", name, without));
    return false;
  }
  try {
    text = read_file(path, most);
    return true;
  } catch (const std::exception& e) {
    run.notes.push_back(fmt::format("{} is damaged ({}); {}.", name, shortened(e.what(), 500), without));
    return false;
  }
}

// "key = value  # origin", as Config::to_toml writes it. A # inside quotes is part of the value.
void read_config(RunRecord& run) {
  std::string text;
  if (!read_text(run, "config.toml", "no settings", kMaxConfig, text)) return;
  try {
    Json(text).dump();  // throws where it is no UTF-8
  } catch (const std::exception& e) {
    run.notes.push_back(fmt::format("config.toml is damaged ({}).", shortened(e.what(), 500)));
    return;
  }
  std::string section;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    if (end == text.npos) end = text.size();
    const std::string_view line = trimmed(std::string_view(text).substr(at, end - at));
    at = end + 1;
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '[' && line.back() == ']') {
      section = line.substr(1, line.size() - 2);
      continue;
    }
    const size_t equals = line.find('=');
    if (equals == line.npos) continue;
    size_t comment = equals + 1;
    for (bool quoted = false; comment < line.size() && (quoted || line[comment] != '#'); ++comment) {
      if (quoted && line[comment] == '\\')
        ++comment;
      else if (line[comment] == '"')
        quoted = !quoted;
    }
    comment = std::min(comment, line.size());
    run.config.push_back({section, std::string(trimmed(line.substr(0, equals))),
                          std::string(trimmed(line.substr(equals + 1, comment - equals - 1))),
                          comment < line.size() ? std::string(trimmed(line.substr(comment + 1))) : std::string()});
    if (run.config.size() > 1000) break;  // ours has not many more than a hundred
  }
}

const Json* RunRecord::headline_split() const {
  const Json& splits = part_of(eval, "splits");
  if (!splits.is_array()) return nullptr;
  for (const char* name : {"test", "val"})
    for (const Json& split : splits)
      if (text_of(split, "name") == name) return &split;
  return splits.empty() || !splits[0].is_object() ? nullptr : &splits[0];
}

std::string RunRecord::setting(std::string_view section, std::string_view key) const {
  for (const Setting& s : config) {
    if (s.section != section || s.key != key) continue;
    const bool quoted = s.value.size() > 1 && s.value.front() == '"' && s.value.back() == '"';
    return quoted ? s.value.substr(1, s.value.size() - 2) : s.value;
  }
  return "";
}

double RunRecord::number_setting(std::string_view section, std::string_view key) const {
  const std::string text = setting(section, key);
  double value = kUnknown;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value) ? value : kUnknown;
}

double real_of(const Json& json, const char* key) {
  const Json& value = part_of(json, key);
  return value.is_number() ? value.get<double>() : kUnknown;
}

std::string text_of(const Json& json, const char* key) {
  const Json& value = part_of(json, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

const Json& part_of(const Json& json, const char* key) {
  static const Json nothing;
  if (!json.is_object()) return nothing;
  const auto found = json.find(key);
  return found == json.end() ? nothing : *found;
}

RunRecord read_run(const std::filesystem::path& folder) {
  std::error_code absent;
  TW_CHECK(std::filesystem::is_directory(folder, absent), no_input, "{} is no run folder: there is no such folder",
           folder.string());
  RunRecord run;
  run.folder = folder;
  const auto whole = std::filesystem::weakly_canonical(folder, absent);
  run.name = (absent ? folder : whole).filename().string();
  run.final_loss = run.trained_tokens = run.skipped = run.memory_bytes = run.model_flops_per_second = kUnknown;
  run.status = read_json(run, "status.json", "how the run ended is not known");
  read_config(run);
  run.train = read_json(run, "train.json", "nothing is known about the model and the layout");
  read_metrics(run);
  run.eval = read_json(run, "eval.json", "no result on held-out text and no baselines");
  run.samples = read_json(run, "samples.json", "no generated text");
  run.phases = read_json(run, "phases.json", "no time and energy by phase");
  read_documents(run);
  run.tokens = read_json(run, "tokens/tokens.json", "no list of the token files");
  return run;
}

}  // namespace tw::report
