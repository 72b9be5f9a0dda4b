// What a sweep tries: the table [sweep] of a file of settings, and the points that follow from it.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/config/load.h"

namespace tw {

inline constexpr int kMostTrials = 1000;  // of a sweep; Slurm's array jobs end there, too, unless set up otherwise

// One setting that is varied: the points `values`, or where there are none a range.
struct SweepParameter {
  std::string key;
  std::vector<ConfigValue> values;
  double low = 0, high = 0;  // both included
  bool log = false;          // drawn evenly in the logarithm
  std::string place;         // where it was written

  std::string to_toml() const;  // { values = [0.001, 0.003] }
};

struct SweepPlan {
  bool random = false;  // else every combination of the values
  int runs = 20;        // of a random sweep
  int64_t seed = 0;
  std::string metric = "eval_loss";
  bool least = true;  // the least metric is the best
  int parallel = 0;   // runs at once; 0 = not given
  int ranks = 1;      // of a run
  std::vector<SweepParameter> parameters;  // sorted by key

  std::string to_toml() const;  // the table [sweep]
  // What keeps trials of `earlier` from being trials of this plan, one sentence; "" = they may be.
  std::string contradiction(const SweepPlan& earlier) const;
};

// A value for each parameter, in their order.
using SweepPoint = std::vector<ConfigValue>;

// tables: as load_config gave them, the winning one last; words: "--sweep.runs" "40" or "--sweep.runs=40" of the command
// line. Error(config) names file, line and column, the key, the reason and the nearest name: unknown keys and values,
// settings that cannot be varied, more than kMostTrials trials.
SweepPlan read_sweep_plan(const std::vector<FileNode>& tables, const std::vector<std::string>& words);

// The points of all trials, in their order. Those of a random plan do not depend on its number of runs: more runs only add
// some. No point comes twice.
std::vector<SweepPoint> sweep_points(const SweepPlan& plan);

// The value as it is written on the command line behind "--key=".
std::string argument_text(const ConfigValue& value);
// "optimizer.lr = 0.001, training.seed = 3".
std::string point_text(const SweepPlan& plan, const SweepPoint& point);

// The metrics that trials can be ranked by, and whether the least of each is the best.
struct SweepMetric {
  std::string_view name, meaning;
  bool least;
};
std::span<const SweepMetric> sweep_metrics();

}  // namespace tw
