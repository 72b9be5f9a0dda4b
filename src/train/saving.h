// Checkpoints of a training under way: when one is due, what it is made of, how it ends. While training goes on the ranks'
// writers work behind its back on a snapshot; a save that is due meanwhile is left out and counted.
#pragma once
#include <limits>
#include <optional>
#include <string>

#include "src/checkpoint/checkpoint_writer.h"
#include "src/train/trainer.h"
#include "src/train/training_run.h"

namespace tw {

class Saving {
 public:
  // Collective. memory_there: bytes that this node's ranks could take together before the trainer was made. Without room for
  // the snapshots training waits for each save, and a warning says so. damaged: folders of checkpoints that were found so.
  Saving(const TrainingRun& run, Trainer& trainer, double memory_there, std::vector<std::string> damaged);

  bool in_background() const noexcept { return in_background_; }
  std::string memory_line() const;  // of the table of memory; "" = none is set aside

  // At a boundary: whether this rank's writer is at work, and, on rank 0, whether the interval in seconds is over.
  bool busy() const noexcept { return writer_.busy(); }
  bool due_by_time() const;
  bool due_by_step(int64_t step) const noexcept { return every_ > 0 && step % every_ == 0; }
  // The held-out loss of this step; true where it is the lowest of all that were saved, and the best is to be kept.
  bool evaluated(int64_t step, double loss);

  // A save that is due and cannot start.
  void leave_out();
  // Collective. Takes the snapshot and returns: training may go on. No save may be under way.
  void start(CheckpointInfo info);
  // Collective. Saves and waits for it.
  SaveOutcome save(CheckpointInfo info);
  // The end of what was started: take() where every rank's writer is done, wait() else. The same on every rank.
  std::optional<SaveOutcome> take() { return counted(writer_.take()); }
  std::optional<SaveOutcome> wait() { return counted(writer_.wait()); }

  // Training stood still so long, for a snapshot or for what follows a commit.
  void add_stall(double seconds);
  // For train.json.
  struct Counts {
    int64_t saved = 0, failed = 0, left_out = 0;
    double stall_seconds = 0, longest_stall_seconds = 0;
    double write_seconds = 0;  // of the last one that was saved: from its snapshot to its commit
    std::string last_error;
  };
  const Counts& counts() const noexcept { return counts_; }

 private:
  std::optional<SaveOutcome> counted(std::optional<SaveOutcome> outcome);
  void complete(CheckpointInfo& info) const;

  const TrainingRun& run_;
  Trainer& trainer_;
  CheckpointOptions options_;
  int64_t every_;
  double every_seconds_;
  bool in_background_;
  double last_start_;  // by the clock
  int64_t evaluated_step_ = -1;
  double loss_ = kUnknownLoss;         // of that step
  double saving_loss_ = kUnknownLoss;  // of the save under way
  double lowest_loss_ = std::numeric_limits<double>::infinity();  // of all checkpoints
  Counts counts_;
  CheckpointWriter writer_;
};

}  // namespace tw
