// What the steps of the factory share, and the steps themselves. A command is `make a Job, run its step`; the factory
// runs all of them.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "src/cli/compute.h"
#include "src/cli/run_folder.h"
#include "src/config/load.h"
#include "src/meter/budget.h"
#include "src/meter/energy.h"
#include "src/meter/phases.h"
#include "src/train/training_run.h"

namespace tw {

struct Job {
  // run.dir is the run folder. `words`: the command as the user gave it, for the record. Collective.
  Job(Config config, const std::string& command, const std::vector<std::string>& words, Communicator& world);

  bool leader() const { return world.rank() == 0; }
  PhaseLedger* phases() { return ledger ? &*ledger : nullptr; }
  // Runs `work` on rank 0 with all cores of its node, the others sleep; what it throws, every rank throws. The time and
  // joules go to `phase`; `work` returns tokens. Collective.
  void on_rank_0(const std::string& phase, const std::function<int64_t()>& work);
  // The settings budget.* count from here on. Collective; Error(config) where one cannot be counted.
  void watch_budget();
  // For work of on_rank_0 that can be done again: Error(requeue) where a signal asked for a stop, Error(budget) where a
  // budget is used up. Joules of other nodes count when the work is done.
  void stop_if_due() const;
  // The tokenizer beside the model where it was made with the run (tokenizer.path, and what was added to it), else tokenizer.path; "" = beside the model.
  std::filesystem::path tokenizer() const;
  void stop_if_spent() const;  // the same for budgets alone, between phases. Collective.

  Config config;
  std::string command;
  Communicator& world;
  RunFolder run;
  Compute compute;
  ThreadTeam& team;
  Stream stream;
  EnergyMeter meter;
  std::optional<PhaseLedger> ledger;  // rank 0
  bool show_progress = true;
  Budget budget;  // as it is watched

 private:
  std::string spent(const PhaseTotals& more) const;  // rank 0: which budget is used up; "" = none
  double work_began_ = 0, work_joules_ = 0;          // on_rank_0
};

// Where a tokenizer is named that is not the run's own.
inline constexpr const char* kTokenizerOption = "--tokenizer";
EnergyOptions energy_options(const Config& config);
int all_cores();
// Values of --budget become settings; they win over those of files. Error(config).
void set_budgets(Config& config, const std::vector<std::string>& budgets);
// Throws Error(requeue) where a signal asked for a stop: for work that can be done again.
void stop_if_asked();
// The command line as it can be typed again.
std::string command_line(const std::string& command, const std::vector<std::string>& words);
// The same with other budgets.
std::string command_line_with(const std::string& command, const std::vector<std::string>& words, const Budget& budget);

// Each goes on where an earlier call stopped.
constexpr size_t kShown = 10;  // files of a kind in the table of a scan
void scan_step(Job& job, size_t shown = kShown);
void tokenize_step(Job& job);
TrainingOutcome train_step(Job& job);
void evaluate_step(Job& job);
void generate_step(Job& job);
void report_step(Job& job);

}  // namespace tw
