#include "src/meter/report_record.h"

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
constexpr size_t kMaxJson = size_t(256) << 20, kMaxConfig = 1 << 20, kMaxMetrics = size_t(4) << 30;

Json read_json(RunRecord& run, const char* name, const char* what) {
  const auto path = run.folder / name;
  std::error_code absent;
  if (!std::filesystem::is_regular_file(path, absent)) {
    run.notes.push_back(fmt::format("{} is missing: {}.", name, what));
    return nullptr;
  }
  try {
    const std::string text = read_file(path, kMaxJson);
    // A swarm of small values would take many times the file's size.
    check_json_structure(text, {.depth = 64, .values = std::min(text.size() / 8 + 4096, size_t(1) << 24)}, name);
    Json json = Json::parse(text);
    if (json.is_object()) return json;
    run.notes.push_back(fmt::format("{} is damaged: it is no object; {}.", name, what));
  } catch (const std::exception& e) {
    run.notes.push_back(fmt::format("{} is damaged ({}); {}.", name, shortened(e.what(), 500), what));
  }
  return nullptr;
}

// The number behind ,"key": in a line of metrics.jsonl; NaN where it is absent or null.
double number_in(std::string_view line, std::string_view key) {
  for (size_t at = line.find(key); at != line.npos; at = line.find(key, at + 1)) {
    const size_t quote = at + key.size();
    if (at < 2 || line[at - 1] != '"' || quote + 1 >= line.size() || line.substr(quote, 2) != "\":") continue;
    double value = kUnknown;
    const auto [end, error] = std::from_chars(line.data() + quote + 2, line.data() + line.size(), value);
    return error == std::errc() && std::isfinite(value) ? value : kUnknown;
  }
  return kUnknown;
}

void add_point(Curve& curve, double step, double value) {
  if (!std::isfinite(value)) return;
  curve.step.push_back(step);
  curve.value.push_back(value);
}

void read_metrics(RunRecord& run) {
  const auto path = run.folder / "metrics.jsonl";
  std::error_code absent;
  if (!std::filesystem::is_regular_file(path, absent)) {
    run.notes.push_back("metrics.jsonl is missing: no curves.");
    return;
  }
  MappedFile file;
  try {
    file = MappedFile(path);
  } catch (const Error& e) {
    run.notes.push_back(std::string(e.what()) + ": no curves.");
    return;
  }
  const std::string_view text = file.text().substr(0, kMaxMetrics);
  int64_t odd = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    if (end == text.npos) end = text.size();
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    const double step = number_in(line, "step");
    if (!(step >= 0) || !line.ends_with('}')) {
      odd += !line.empty();
      continue;
    }
    if (line.find("\"eval_loss\":") != line.npos) {
      add_point(run.eval_loss, step, number_in(line, "eval_loss"));
      continue;
    }
    ++run.step_lines;
    run.step = step;
    run.final_loss = number_in(line, "loss");
    run.not_finite += std::isnan(run.final_loss);
    add_point(run.loss, step, run.final_loss);
    add_point(run.lr, step, number_in(line, "lr"));
    add_point(run.grad_norm, step, number_in(line, "grad_norm"));
    add_point(run.tokens_per_second, step, number_in(line, "tokens_per_second"));
    add_point(run.joules_per_token, step, number_in(line, "joules_per_token"));
    run.trained_tokens = number_in(line, "tokens");
    run.skipped = number_in(line, "skipped");
    run.memory_bytes = number_in(line, "memory_bytes");
    run.model_flops_per_second = number_in(line, "model_flops_per_second");
  }
  if (odd) run.notes.push_back(fmt::format("metrics.jsonl: {} lines are damaged and left out.", odd));
  if (run.step_lines == 0) run.notes.push_back("metrics.jsonl holds no step.");
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r"), end = text.find_last_not_of(" \t\r");
  return begin == text.npos ? std::string_view() : text.substr(begin, end - begin + 1);
}

// "key = value  # origin", as Config::to_toml writes it. A # inside quotes is part of the value.
void read_config(RunRecord& run) {
  const auto path = run.folder / "config.toml";
  std::error_code absent;
  if (!std::filesystem::is_regular_file(path, absent)) {
    run.notes.push_back("config.toml is missing: no settings.");
    return;
  }
  std::string text;
  try {
    text = read_file(path, kMaxConfig);
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
    if (run.config.size() > 1000) break;  // ours has fewer than a hundred
  }
}

}  // namespace

double Curve::last() const { return value.empty() ? kUnknown : value.back(); }

double Curve::median() const {
  std::vector<double> sorted(value.begin() + (value.size() > 1 ? 1 : 0), value.end());
  if (sorted.empty()) return kUnknown;
  std::nth_element(sorted.begin(), sorted.begin() + std::ptrdiff_t(sorted.size() / 2), sorted.end());
  return sorted[sorted.size() / 2];
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
  for (const Setting& s : config)
    if (s.section == section && s.key == key) return s.value;
  return "";
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
  run.inventory = read_json(run, "inventory.json", "no list of the documents");
  run.tokens = read_json(run, "tokens/tokens.json", "no list of the token files");
  return run;
}

}  // namespace tw::report
