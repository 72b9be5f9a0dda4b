#include "src/sweep/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "src/config/values.h"
#include "src/core/error.h"
#include "src/core/hash.h"
#include "src/core/rng.h"

namespace tw {
namespace {

constexpr SweepMetric kMetrics[] = {
    {"eval_loss", "held-out loss of the last evaluation", true},
    {"train_loss", "loss of the last training step", true},
    {"tokens_per_second", "median speed of the training", false},
    {"joules_per_token", "energy of a token trained", true},
};

// Draws that may be thrown away because their point was drawn before.
constexpr uint64_t kMostDraws = 100000;

// Numbers that a person can type again.
double rounded(double value) { return std::stod(fmt::format("{:.4g}", value)); }

ConfigValue draw(const SweepParameter& p, double u) {
  if (!p.values.empty()) return p.values[std::min(size_t(u * double(p.values.size())), p.values.size() - 1)];
  const ConfigKey& key = *find_config_key(p.key);
  if (key.type == KeyType::integer || key.type == KeyType::size) {
    // Each whole number has the stretch of half a unit on both sides.
    const double low = p.low - 0.5, high = p.high + 0.5;
    const double v = p.log ? std::exp(std::log(std::max(low, 0.5)) + u * std::log(high / std::max(low, 0.5))) : low + u * (high - low);
    return int64_t(std::clamp(std::round(v), p.low, p.high));
  }
  const double v = p.log ? p.low * std::exp(u * std::log(p.high / p.low)) : p.low + u * (p.high - p.low);
  return std::clamp(rounded(v), p.low, p.high);
}

// Points that there are; infinity where there is a range of real numbers.
double combinations(const SweepPlan& plan) {
  double product = 1;
  for (const SweepParameter& p : plan.parameters) {
    const KeyType type = find_config_key(p.key)->type;
    const bool whole = type == KeyType::integer || type == KeyType::size;
    product *= !p.values.empty() ? double(p.values.size()) : whole ? p.high - p.low + 1 : INFINITY;
  }
  return product;
}

std::vector<SweepPoint> grid_points(const SweepPlan& plan) {
  std::vector<SweepPoint> points;
  SweepPoint point;
  const std::function<void(size_t)> fill = [&](size_t at) {
    if (at == plan.parameters.size()) return points.push_back(point);
    for (const ConfigValue& v : plan.parameters[at].values) {
      point.push_back(v);
      fill(at + 1);
      point.pop_back();
    }
  };
  fill(0);
  return points;
}

std::vector<SweepPoint> random_points(const SweepPlan& plan) {
  std::vector<SweepPoint> points;
  std::set<SweepPoint> seen;
  for (uint64_t attempt = 0; int(points.size()) < plan.runs; ++attempt) {
    TW_CHECK(attempt < kMostDraws, config, "[sweep]: only {} different points came up in {} draws, sweep.runs = {} are wanted: use fewer "
             "runs, or method = \"grid\"", points.size(), kMostDraws, plan.runs);
    SweepPoint point;
    for (const SweepParameter& p : plan.parameters)
      point.push_back(draw(p, Rng{uint64_t(plan.seed), RngStream::sampling, crc32c(p.key.data(), p.key.size()), 0}.uniform(attempt)));
    if (seen.insert(point).second) points.push_back(std::move(point));
  }
  return points;
}

}  // namespace

std::span<const SweepMetric> sweep_metrics() { return kMetrics; }

std::vector<SweepPoint> sweep_points(const SweepPlan& plan) {
  const double all = combinations(plan);
  if (plan.random) {
    TW_CHECK(all >= plan.runs, config, "[sweep]: runs = {}, but the parameters have only {} different points: method = \"grid\" tries them all",
             plan.runs, all);
    return random_points(plan);
  }
  std::string factors;
  for (const SweepParameter& p : plan.parameters)
    factors += fmt::format("{}{} of {}", factors.empty() ? "" : " x ", p.values.size(), p.key);
  TW_CHECK(all <= kMostTrials, config, "[sweep]: the grid has {} = {} combinations, at most {} are tried: use fewer values, or method = \"random\" "
           "with runs = 20", factors, all, kMostTrials);
  return grid_points(plan);
}

std::string SweepParameter::to_toml() const {
  const auto number = [&](double v) {
    const KeyType type = find_config_key(key)->type;
    const bool whole = type == KeyType::integer || type == KeyType::size;
    return whole ? to_toml_text(int64_t(v)) : to_toml_text(v);
  };
  if (values.empty())
    return fmt::format("{{ min = {}, max = {}{} }}", number(low), number(high), log ? ", scale = \"log\"" : "");
  std::string list;
  for (const ConfigValue& v : values) list += (list.empty() ? "" : ", ") + to_toml_text(v);
  return "{ values = [" + list + "] }";
}

std::string SweepPlan::to_toml() const {
  std::string out = fmt::format("[sweep]\nmethod = \"{}\"\n", random ? "random" : "grid");
  if (random) out += fmt::format("runs = {}\nseed = {}\n", runs, seed);
  out += fmt::format("metric = \"{}\"\ngoal = \"{}\"\n", metric, least ? "min" : "max");
  if (parallel > 0) out += fmt::format("parallel = {}\n", parallel);
  out += fmt::format("ranks = {}\n\n[sweep.parameters]\n", ranks);
  for (const SweepParameter& p : parameters) out += fmt::format("\"{}\" = {}\n", p.key, p.to_toml());
  return out;
}

std::string SweepPlan::contradiction(const SweepPlan& earlier) const {
  const auto name = [](bool r) { return r ? "random" : "grid"; };
  if (random != earlier.random) return fmt::format("sweep.method was \"{}\", now it is \"{}\"", name(earlier.random), name(random));
  if (random && seed != earlier.seed) return fmt::format("sweep.seed was {}, now it is {}", earlier.seed, seed);
  if (random && runs < earlier.runs) return fmt::format("sweep.runs was {}, now it is {}: it can only grow", earlier.runs, runs);
  if (ranks != earlier.ranks) return fmt::format("sweep.ranks was {}, now it is {}", earlier.ranks, ranks);
  const auto find = [](const SweepPlan& plan, const std::string& key) -> const SweepParameter* {
    for (const SweepParameter& p : plan.parameters)
      if (p.key == key) return &p;
    return nullptr;
  };
  for (const SweepParameter& p : earlier.parameters) {
    const SweepParameter* now = find(*this, p.key);
    if (!now) return fmt::format("sweep.parameters had {} = {}, now it has none", p.key, p.to_toml());
    if (now->to_toml() != p.to_toml())
      return fmt::format("sweep.parameters had {} = {}, now it is {}", p.key, p.to_toml(), now->to_toml());
  }
  for (const SweepParameter& p : parameters)
    if (!find(earlier, p.key)) return fmt::format("sweep.parameters had no {}, now it is {}", p.key, p.to_toml());
  return "";
}

std::string argument_text(const ConfigValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text ? *text : to_toml_text(value);
}

std::string point_text(const SweepPlan& plan, const SweepPoint& point) {
  std::string out;
  for (size_t i = 0; i < point.size(); ++i)
    out += fmt::format("{}{} = {}", i ? ", " : "", plan.parameters[i].key, argument_text(point[i]));
  return out;
}

}  // namespace tw
