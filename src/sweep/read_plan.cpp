// The table [sweep]: strict, with the place of every mistake.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "src/config/files.h"
#include "src/config/values.h"
#include "src/core/error.h"
#include "src/sweep/plan.h"

namespace tw {
namespace {

constexpr std::string_view kKeys[] = {"method", "runs", "seed", "metric", "goal", "parallel", "ranks", "parameters"};
constexpr std::string_view kParameterKeys[] = {"values", "min", "max", "scale", "step", "count"};

// Settings that belong to the sweep as a whole: its folder, its data, its measuring.
constexpr std::string_view kFixedSections[] = {"run", "tokenizer", "generate", "energy", "metrics"};
constexpr std::string_view kFixedKeys[] = {"data.folder", "data.split", "checkpoint.dir", "checkpoint.resume", "training.threads"};

[[noreturn]] void refuse_name(const std::string& place, const std::string& name, std::span<const std::string_view> known, const char* table) {
  std::string all, near;
  int distance = int(name.size()) / 3 + 2;
  for (const std::string_view k : known) {
    all += (all.empty() ? "" : ", ") + std::string(k);
    if (const int d = name.size() > 100 ? distance : edit_distance(name, k); d < distance) near = k, distance = d;
  }
  TW_FAIL(config, "{}: unknown key {} in {}{}; it takes {}", place, shortened(name, 100), table,
          near.empty() ? "" : fmt::format(", did you mean {}?", near), all);
}

std::string text_of(const FileNode& node, std::string_view key, const std::vector<std::string_view>& choices) {
  const auto* text = node.value ? std::get_if<std::string>(&*node.value) : nullptr;
  std::string all;
  for (const std::string_view c : choices) {
    if (text && *text == c) return *text;
    all += fmt::format("{}\"{}\"", all.empty() ? "" : ", ", c);
  }
  const std::string given = node.value ? to_toml_text(*node.value) : "a " + node.kind;
  TW_FAIL(config, "{}: {} wants one of {}, not {}", node.place, key, all, shortened(given, 100));
}

int64_t whole_of(const FileNode& node, std::string_view key, int64_t low, int64_t high) {
  const auto* whole = node.value ? std::get_if<int64_t>(&*node.value) : nullptr;
  TW_CHECK(whole && *whole >= low && *whole <= high, config, "{}: {} wants a whole number from {} to {}, not {}", node.place, key, low, high,
           node.value ? shortened(to_toml_text(*node.value), 100) : "a " + node.kind);
  return *whole;
}

// "--sweep.runs 40" as the table it stands for.
FileNode table_of(const std::vector<std::string>& words) {
  constexpr std::string_view kPrefix = "--sweep.";
  FileNode table{"command line", "table", std::nullopt, {}};
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    std::string name = words[i].substr(kPrefix.size(), equals == std::string::npos ? equals : equals - kPrefix.size()), text;
    TW_CHECK(!name.starts_with("parameters"), config, "command line: what is varied stands in a file, in [sweep.parameters]");
    if (equals != std::string::npos) {
      text = words[i].substr(equals + 1);
    } else {
      TW_CHECK(i + 1 < words.size() && !words[i + 1].starts_with("--"), config, "command line: --sweep.{} has no value", name);
      text = words[++i];
    }
    FileNode node{"command line", "text", std::nullopt, {}};
    int64_t whole = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
    node.value = error == std::errc() && end == text.data() + text.size() ? ConfigValue(whole) : ConfigValue(text);
    node.name_place = "command line";
    table.members.emplace_back(std::move(name), std::move(node));
  }
  return table;
}

ConfigValue value_of(const ConfigKey& key, const FileNode& node) {
  std::optional<ConfigValue> raw = node.value;
  if (!raw && key.type == KeyType::text_list && node.kind == "array") {
    std::vector<std::string> list;
    for (const FileNode& item : node.items) {
      const auto* text = item.value ? std::get_if<std::string>(&*item.value) : nullptr;
      TW_CHECK(text, config, "{}: {} wants a list of texts", item.place, key.name);
      list.push_back(*text);
    }
    raw = std::move(list);
  } else if (raw && key.type == KeyType::text_list && std::holds_alternative<std::string>(*raw)) {
    raw = std::vector{std::get<std::string>(*raw)};
  }
  TW_CHECK(raw, config, "{}: {} wants a {}, not a {}", node.place, key.name, name_of(key.type), node.kind);
  return checked_value(key, std::move(*raw), node.place);
}

double number_of(const ConfigValue& v) {
  const auto* whole = std::get_if<int64_t>(&v);
  return whole ? double(*whole) : std::get<double>(v);
}

void read_list(SweepParameter& p, const ConfigKey& key, const FileNode& list) {
  TW_CHECK(list.kind == "array" && !list.items.empty(), config, "{}: the values of {} are a list that is not empty: [a, b]", list.place, p.key);
  TW_CHECK(list.items.size() <= size_t(kMostTrials), config, "{}: {} has {} values, at most {} are tried", list.place, p.key, list.items.size(),
           kMostTrials);
  for (const FileNode& item : list.items) {
    ConfigValue v = value_of(key, item);
    TW_CHECK(std::find(p.values.begin(), p.values.end(), v) == p.values.end(), config, "{}: {} has the value {} twice", item.place, p.key,
             to_toml_text(v));
    p.values.push_back(std::move(v));
  }
}

// min and max, with scale, and with step or count where the range is a list of points.
void read_range(SweepParameter& p, const ConfigKey& key, const FileNode& table, std::map<std::string, const FileNode*>& has) {
  const bool whole = key.type == KeyType::integer || key.type == KeyType::size;
  const bool number = whole || key.type == KeyType::real || key.type == KeyType::duration || key.type == KeyType::energy;
  TW_CHECK(number, config, "{}: {} is a {}: it takes a list of values, no range", table.place, p.key, name_of(key.type));
  TW_CHECK(has["min"] && has["max"], config, "{}: {} wants values = [a, b], or min and max", table.place, p.key);
  p.low = number_of(value_of(key, *has["min"]));
  p.high = number_of(value_of(key, *has["max"]));
  TW_CHECK(p.low < p.high, config, "{}: {}: min = {} is not below max = {}", has["min"]->place, p.key, p.low, p.high);
  p.log = has["scale"] && text_of(*has["scale"], p.key + ": scale", {"linear", "log"}) == "log";
  TW_CHECK(!p.log || p.low > 0, config, "{}: {}: min = {} has no logarithm: scale = \"log\" wants it above 0", has["min"]->place, p.key, p.low);
  const auto add = [&](double v) {
    v = std::clamp(whole ? std::round(v) : std::stod(fmt::format("{:.6g}", v)), p.low, p.high);
    if (!p.values.empty() && number_of(p.values.back()) == v) return;
    if (whole)
      p.values.emplace_back(int64_t(v));
    else
      p.values.emplace_back(v);
  };
  if (const FileNode* node = has["step"]) {
    TW_CHECK(!has["count"], config, "{}: {} has step and count: one of them is enough", node->place, p.key);
    TW_CHECK(!p.log, config, "{}: {}: step goes with scale = \"linear\"; for \"log\" say count = 5", node->place, p.key);
    const double step = node->value && (std::holds_alternative<int64_t>(*node->value) || (!whole && std::holds_alternative<double>(*node->value)))
                            ? number_of(*node->value) : NAN;
    TW_CHECK(step > 0 && (p.high - p.low) / step < kMostTrials, config, "{}: {}: step wants a {}number above 0 that makes at most {} values",
             node->place, p.key, whole ? "whole " : "", kMostTrials);
    for (int k = 0; p.low + k * step <= p.high * (1 + 1e-12) + 1e-300; ++k) add(p.low + k * step);
  } else if (const FileNode* count = has["count"]) {
    const auto n = whole_of(*count, p.key + ": count", 2, kMostTrials);
    for (int64_t k = 0; k < n; ++k) {
      const double share = double(k) / double(n - 1);
      add(p.log ? p.low * std::pow(p.high / p.low, share) : p.low + share * (p.high - p.low));
    }
  }
}

SweepParameter read_parameter(const std::string& name, const FileNode& node) {
  SweepParameter p;
  p.key = name;
  p.place = node.name_place;
  const ConfigKey* key = find_config_key(name);
  if (!key) {
    const std::string near = nearest_config_name(name);
    TW_FAIL(config, "{}: [sweep.parameters] names the unknown setting {}{}", node.name_place, shortened(name, 100),
            near.empty() ? "; docs/configuration.md lists all" : fmt::format("; did you mean {}?", near));
  }
  const bool fixed = std::find(std::begin(kFixedSections), std::end(kFixedSections), key->section()) != std::end(kFixedSections) ||
                     std::find(std::begin(kFixedKeys), std::end(kFixedKeys), key->name) != std::end(kFixedKeys);
  TW_CHECK(!fixed, config, "{}: {} is the same in all trials of a sweep: their folders, data and measuring are shared", node.name_place, p.key);
  if (node.kind == "array") {
    read_list(p, *key, node);
    return p;
  }
  TW_CHECK(node.kind == "table", config, "{}: {} wants {{ values = [a, b] }} or {{ min = a, max = b }}, not {}", node.place, p.key,
           node.value ? shortened(to_toml_text(*node.value), 100) : "a " + node.kind);
  std::map<std::string, const FileNode*> has;
  for (const auto& [k, member] : node.members) {
    if (std::find(std::begin(kParameterKeys), std::end(kParameterKeys), k) == std::end(kParameterKeys))
      refuse_name(member.name_place, k, kParameterKeys, name.c_str());
    has[k] = &member;
  }
  if (has["values"]) {
    TW_CHECK(node.members.size() == 1, config, "{}: {} has values and a range: one of them is enough", node.place, p.key);
    read_list(p, *key, *has["values"]);
  } else {
    read_range(p, *key, node, has);
  }
  return p;
}

bool is_section(const std::string& name) {
  return std::any_of(config_sections().begin(), config_sections().end(), [&](const ConfigSection& s) { return s.name == name; });
}

}  // namespace

SweepPlan read_sweep_plan(const std::vector<FileNode>& tables, const std::vector<std::string>& words) {
  std::map<std::string, FileNode> options, parameters;
  std::vector<FileNode> all = tables;
  all.push_back(table_of(words));
  std::string place = "command line";
  for (const FileNode& table : all) {
    if (&table != &all.back()) place = table.place;
    for (const auto& [name, node] : table.members) {
      if (std::find(std::begin(kKeys), std::end(kKeys), name) == std::end(kKeys)) refuse_name(node.name_place, name, kKeys, "[sweep]");
      if (name != "parameters") {
        options[name] = node;
        continue;
      }
      TW_CHECK(node.kind == "table", config, "{}: write [sweep.parameters] and the settings that are varied below it", node.place);
      for (const auto& [key, member] : node.members) {
        // optimizer.lr = {...} without quotes is a table within a table.
        if (is_section(key) && member.kind == "table")
          for (const auto& [leaf, inner] : member.members) parameters[key + "." + leaf] = inner;
        else
          parameters[key] = member;
      }
    }
  }
  TW_CHECK(!tables.empty(), config, "no table [sweep] in the files of settings: it says what is varied; docs/sweeps.md has an example");
  const auto option = [&](const char* name) { return options.contains(name) ? &options[name] : nullptr; };
  SweepPlan plan;
  if (const FileNode* n = option("method")) plan.random = text_of(*n, "sweep.method", {"grid", "random"}) == "random";
  if (const FileNode* n = option("runs")) {
    plan.runs = int(whole_of(*n, "sweep.runs", 1, kMostTrials));
    TW_CHECK(plan.random, config, "{}: sweep.runs = {} goes with method = \"random\"; a grid has as many runs as combinations", n->place, plan.runs);
  }
  if (const FileNode* n = option("seed")) plan.seed = whole_of(*n, "sweep.seed", 0, int64_t(1) << 53);
  std::vector<std::string_view> metrics;
  for (const SweepMetric& m : sweep_metrics()) metrics.push_back(m.name);
  if (const FileNode* n = option("metric")) plan.metric = text_of(*n, "sweep.metric", metrics);
  for (const SweepMetric& m : sweep_metrics())
    if (m.name == plan.metric) plan.least = m.least;
  if (const FileNode* n = option("goal")) plan.least = text_of(*n, "sweep.goal", {"min", "max"}) == "min";
  if (const FileNode* n = option("parallel")) plan.parallel = int(whole_of(*n, "sweep.parallel", 1, 1024));
  if (const FileNode* n = option("ranks")) plan.ranks = int(whole_of(*n, "sweep.ranks", 1, 1 << 20));
  TW_CHECK(!parameters.empty(), config, "{}: [sweep.parameters] is missing or empty: \"optimizer.lr\" = {{ values = [1e-3, 3e-3] }}", place);
  for (const auto& [name, node] : parameters) {
    plan.parameters.push_back(read_parameter(name, node));
    const SweepParameter& p = plan.parameters.back();
    TW_CHECK(plan.random || !p.values.empty(), config, "{}: a grid wants points of {}: add step = ... or count = ... to its range, or say method = "
             "\"random\"", p.place, p.key);
  }
  return plan;
}

}  // namespace tw
