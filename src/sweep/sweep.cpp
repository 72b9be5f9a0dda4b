#include "src/sweep/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "src/config/files.h"
#include "src/core/error.h"
#include "src/core/file.h"

namespace tw {
namespace fs = std::filesystem;

namespace {

Sweep with_trials(const fs::path& folder, Config base, SweepPlan plan) {
  Sweep sweep{folder, std::move(plan), std::move(base), {}};
  for (SweepPoint& point : sweep_points(sweep.plan)) {
    Trial t;
    t.number = int(sweep.trials.size());
    t.folder = folder / "trials" / fmt::format("{:04}", t.number);
    t.point = std::move(point);
    read_trial(t, sweep.plan);
    sweep.trials.push_back(std::move(t));
  }
  return sweep;
}

// The first setting that differs; where a run lies and what text goes to people is no part of its result.
std::string difference(const Config& earlier, const Config& now) {
  for (const ConfigKey& key : config_keys()) {
    if (key.name == "run.dir" || key.name == "training.threads" || key.section() == "generate") continue;
    const std::string a = earlier.text_of(key.name), b = now.text_of(key.name);
    if (a != b) return fmt::format("{} was {}, now it is {} ({})", key.name, a, b, now.origin(key.name));
  }
  return "";
}

}  // namespace

std::string_view name_of(TrialState state) {
  constexpr std::string_view kNames[] = {"waiting", "running", "done", "stopped", "failed"};
  return kNames[size_t(state)];
}

std::vector<int> Sweep::ranking() const {
  std::vector<int> order;
  for (const Trial& t : trials)
    if (t.state == TrialState::done && std::isfinite(t.metric)) order.push_back(t.number);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    const double x = trials[size_t(a)].metric, y = trials[size_t(b)].metric;
    return plan.least ? x < y : x > y;
  });
  return order;
}

int Sweep::count(TrialState state) const {
  return int(std::count_if(trials.begin(), trials.end(), [&](const Trial& t) { return t.state == state; }));
}

std::vector<std::string> Sweep::words_of(const Trial& trial, const fs::path& out) const {
  std::vector<std::string> words = {"train", (folder / "base.toml").string()};
  for (size_t i = 0; i < trial.point.size(); ++i)
    words.push_back(fmt::format("--{}={}", plan.parameters[i].key, argument_text(trial.point[i])));
  words.insert(words.end(), {"--out", out.string()});
  return words;
}

Config Sweep::config_of(const Trial& trial) const {
  Config config = base;
  for (size_t i = 0; i < trial.point.size(); ++i)
    config.set(plan.parameters[i].key, trial.point[i], plan.parameters[i].place);
  config.check();
  return config;
}

bool is_sweep(const fs::path& folder) {
  std::error_code none;
  return fs::is_regular_file(folder / "sweep.toml", none);
}

Sweep open_sweep(const fs::path& folder, const std::vector<std::string>& words) {
  TW_CHECK(is_sweep(folder), no_input, "{} is no folder of a sweep: it has no sweep.toml; tokenwerk sweep CONFIG.toml --out {} makes one",
           folder.string(), folder.string());
  std::vector<FileNode> tables;
  Config base = load_config({folder / "sweep.toml"}, {}, &tables);
  SweepPlan plan = read_sweep_plan(tables, words);
  if (!words.empty()) return make_sweep(folder, base, plan);
  return with_trials(folder, std::move(base), std::move(plan));
}

Sweep make_sweep(const fs::path& folder, const Config& base, const SweepPlan& plan) {
  if (is_sweep(folder)) {
    std::vector<FileNode> tables;
    const Config earlier = load_config({folder / "sweep.toml"}, {}, &tables);
    std::string differs = difference(earlier, base);
    if (differs.empty()) differs = plan.contradiction(read_sweep_plan(tables, {}));
    TW_CHECK(differs.empty(), config, "{} holds another sweep: {}. Choose another --out, or go on with it: tokenwerk sweep --out {}",
             folder.string(), differs, folder.string());
  }
  Sweep sweep = with_trials(folder, base, plan);
  make_folders(folder / "trials");
  if (!is_sweep(folder)) write_file_atomically(folder / "base.toml", base.to_toml(false));
  write_file_atomically(folder / "sweep.toml", "# What is varied. Made by tokenwerk sweep.\ninclude = \"base.toml\"\n\n" + plan.to_toml());
  return sweep;
}

}  // namespace tw
