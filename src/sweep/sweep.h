// A sweep in its folder:
//   base.toml     settings that all trials share, those alone that are not at their default
//   sweep.toml    include = "base.toml" and the table [sweep]: what is varied
//   data/         tokens made of documents, where a folder of them was given
//   trials/0007/  a run folder; log.txt, what the run said; trial.json, what became of it
//   sweep.json    all trials, for machines; never read here
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "src/sweep/plan.h"

namespace tw {

enum class TrialState { waiting, running, done, stopped, failed };  // stopped: goes on from its checkpoint
std::string_view name_of(TrialState state);

struct Trial {
  int number = 0;
  std::filesystem::path folder;  // SWEEP/trials/0007
  SweepPoint point;

  // trial.json
  TrialState state = TrialState::waiting;
  int exit_code = 0;
  std::string reason;  // of a state that is neither waiting nor done, one sentence
  int starts = 0;
  double seconds = 0;  // of all starts

  // From the run's own files; NaN = unknown.
  int64_t step = 0, steps = 0;
  double metric, eval_loss, train_loss, tokens_per_second, joules_per_token, joules;
  std::string energy = "none";  // "measured", "assumed", "none"

  std::string name() const { return folder.filename().string(); }
};

struct Sweep {
  std::filesystem::path folder;
  SweepPlan plan;
  Config base;
  std::vector<Trial> trials;

  // Numbers of those that are done, the best first; equal ones in their order.
  std::vector<int> ranking() const;
  int count(TrialState state) const;
  // `tokenwerk train base.toml --optimizer.lr=0.001 --out OUT`.
  std::vector<std::string> words_of(const Trial& trial, const std::filesystem::path& out) const;
  // The settings of a trial. Error(config) where a value of it contradicts another.
  Config config_of(const Trial& trial) const;
};

bool is_sweep(const std::filesystem::path& folder);
// Writes base.toml and sweep.toml into a new folder; where there is a sweep, checks that this is the same one, or one
// with more runs. Error(config) says what differs.
Sweep make_sweep(const std::filesystem::path& folder, const Config& base, const SweepPlan& plan);
// Reads the folder as it is: the plan and what became of the trials. words: "--sweep.runs" "40", as read_sweep_plan
// takes them. Error(no_input), Error(config), Error(data).
Sweep open_sweep(const std::filesystem::path& folder, const std::vector<std::string>& words = {});

// trial.json and the files of its run. A state "running" whose process is gone becomes "stopped".
void read_trial(Trial& trial, const SweepPlan& plan);
void write_trial(const Trial& trial, const SweepPlan& plan);

// Atomically.
void write_sweep_json(const Sweep& sweep, const std::string& command);
std::string sweep_json(const Sweep& sweep, const std::string& command);
// A line a trial: the best first, then those that are under way, the failed ones with their reasons.
std::string sweep_table(const Sweep& sweep);
// sweep.html.
std::string sweep_html(const Sweep& sweep);
void write_sweep_page(const Sweep& sweep, const std::filesystem::path& page = {});

}  // namespace tw
