// A training run under way, for the files that make it up: training_run.cpp, its start and its steps; training_saves.cpp, checkpoints and
// the way back to one; training_record.cpp, what is told and written of it.
#pragma once
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "src/checkpoint/checkpoint.h"
#include "src/data/file_watch.h"
#include "src/meter/metrics_log.h"
#include "src/meter/progress.h"
#include "src/train/rollback.h"
#include "src/train/saving.h"
#include "src/train/spending.h"
#include "src/train/trainer.h"
#include "src/train/training_run.h"

namespace tw {

// The weights of a checkpoint of whole weights, as start weights.
StartWeights weights_of(const Checkpoint& checkpoint, const ModelConfig& model);

// One run under way. Every member function is collective unless it says otherwise.
class TrainingLoop {
 public:
  explicit TrainingLoop(const TrainingRun& run);
  TrainingOutcome finish();

 private:
  bool leader() const { return run_.comm.rank() == 0; }
  void log_step(const StepResult& r);
  bool evaluate();  // whether the checkpoint of this step is one to keep
  CheckpointInfo describe() const;
  // Saves the frozen weights of adapters beside the checkpoints, unless they are there, and returns their hash (checkpoint/base.h).
  std::string save_base(const ModelConfig& model, const Tensor& weights);
  void keep_base(const Checkpoint& adapters);  // of a checkpoint from elsewhere
  void check_before_save();
  void end_save();  // where one is under way
  void start_save();
  void save_last();
  void settle(const SaveOutcome& outcome, bool must_succeed);
  void open_metrics(int64_t step);  // rank 0
  void tell_alarms();               // those that are new
  // Goes on from the newest checkpoint of at most `most_steps`; false where there is none.
  bool return_to(int64_t most_steps);
  bool answer(const Corruption& wrong);  // false: nothing is left to do
  void answer(const StepResult& spike);
  void write_record(const Trainer::ExchangeCost* exchange) const;  // rank 0
  nlohmann::json describe_saves() const;                           // of this start
  void report_first_step(const StepResult& r);
  void guess_step();
  double steps_an_evaluation() const;
  nlohmann::json describe_blend() const;  // what the whole run takes of each file
  void say_blend() const;
  void say_adapters() const;
  nlohmann::json describe_left_out() const;  // batches
  nlohmann::json describe_adapters() const;  // null = none

  const TrainingRun& run_;
  Config& config_;
  std::vector<std::shared_ptr<const TokenFile>> train_files_, val_files_;
  std::optional<FileWatch> file_watch_;  // of train_files_
  std::optional<Checkpoint> resumed_;
  std::shared_ptr<const Batches> batches_;
  std::optional<Trainer> trainer_;
  std::optional<MetricsLog> metrics_;    // rank 0
  std::optional<ProgressLine> progress_; // rank 0
  int64_t steps_ = 0, log_interval_ = 1;
  double flops_per_token_ = 0;
  double earlier_joules_ = 0;  // of the starts before this one
  double start_seconds_ = kNoJoules, first_step_seconds_ = kNoJoules;  // from the program's start until the first step began, and was done
  double idle_watts_ = kNoJoules;  // of all GPUs in use
  std::filesystem::path checkpoint_;
  int64_t saved_step_ = -1;
  std::optional<Saving> saving_;
  PhaseTotals useful_;  // rank 0: of the ledger, when the save under way was started
  // Since the last line of metrics: time of steps alone, without evaluation and checkpoints.
  double window_seconds_ = 0, window_wait_ = 0;
  int64_t window_tokens_ = 0;
  double train_seconds_ = 0;     // of all steps here
  int64_t start_step_ = 0;
  std::optional<Spending> spending_;
  std::optional<IntegrityLog> integrity_log_;  // rank 0
  size_t alarms_told_ = 0;
  std::map<int64_t, int> spikes_;  // tries from the checkpoint of a step
};

}  // namespace tw
