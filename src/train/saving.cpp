#include "src/train/saving.h"

#include <algorithm>

#include "src/core/clock.h"
#include "src/core/format.h"
#include "src/core/log.h"

namespace tw {
namespace {

// Whether the node's memory holds the snapshots beside all that is planned, on every node.
bool has_room(const TrainingRun& run, const Trainer& trainer, double there) {
  const double arena = run.stream.device().is_cpu() ? double(trainer.plan().bytes()) : 0, snapshot = double(trainer.snapshot_bytes());
  const double needed = (arena + snapshot) * run.comm.node_size();
  const bool all = all_reduce_value(run.comm, int64_t(needed <= there), ReduceOp::min) == 1;
  if (!all && run.comm.rank() == 0)
    log_warning("no memory for checkpoints in the background: a rank's snapshot takes {}, with all else {} a node, {} are there. "
                "Training waits for each save (checkpoint.async = false says so too)",
                human_bytes(snapshot), human_bytes(needed), human_bytes(there));
  return all;
}

}  // namespace

Saving::Saving(const TrainingRun& run, Trainer& trainer, double memory_there, std::vector<std::string> damaged)
    : run_(run),
      trainer_(trainer),
      options_{.folder = run.config.get<std::string>("checkpoint.dir"),
               .keep_latest_k = run.config.get<int>("checkpoint.keep_latest_k"),
               .keep_every = run.config.get<int64_t>("checkpoint.keep_every"),
               .keep_best = run.config.get<bool>("checkpoint.keep_best"),
               .damaged = std::move(damaged),
               .lease = run.lease},
      every_(run.config.get<int64_t>("checkpoint.interval")),
      every_seconds_(run.config.get<double>("checkpoint.interval_seconds")),
      in_background_(run.config.get<bool>("checkpoint.async") && (every_ > 0 || every_seconds_ > 0 || options_.keep_best) &&
                     has_room(run, trainer, memory_there)),
      last_start_(now_seconds()),
      writer_(run.comm) {
  if (options_.keep_best) {
    if (run.comm.rank() == 0) lowest_loss_ = lowest_validation_loss(options_.folder);
    lowest_loss_ = all_reduce_value(run.comm, lowest_loss_, ReduceOp::min);
  }
  if (in_background_) trainer.reserve_snapshot();
}

std::string Saving::memory_line() const {
  if (!in_background_) return "";
  return fmt::format("  {:<24} {:>12}{}\n", "snapshot to save", human_bytes(double(trainer_.snapshot_bytes())),
                     run_.stream.device().is_cuda() ? "  (host)" : "");
}

bool Saving::due_by_time() const { return every_seconds_ > 0 && now_seconds() - last_start_ >= every_seconds_; }

bool Saving::evaluated(int64_t step, double loss) {
  evaluated_step_ = step, loss_ = loss;
  return options_.keep_best && loss < lowest_loss_;
}

void Saving::leave_out() {
  last_start_ = now_seconds();
  if (counts_.left_out++ == 0 && run_.comm.rank() == 0)
    log_info("the checkpoint of step {} is left out: the one before is still being written. Later ones that are left out are "
             "counted (train.json)", trainer_.steps_done());
}

void Saving::complete(CheckpointInfo& info) const {
  if (evaluated_step_ == info.step) info.validation_loss = loss_;
}

void Saving::start(CheckpointInfo info) {
  complete(info);
  saving_loss_ = info.validation_loss;
  last_start_ = now_seconds();
  writer_.start(options_, info, trainer_.snapshot(), true);
}

SaveOutcome Saving::save(CheckpointInfo info) {
  complete(info);
  saving_loss_ = info.validation_loss;
  last_start_ = now_seconds();
  writer_.start(options_, info, trainer_.slices(), false);
  return *wait();
}

std::optional<SaveOutcome> Saving::counted(std::optional<SaveOutcome> outcome) {
  if (!outcome) return outcome;
  if (outcome->ok()) {
    ++counts_.saved;
    counts_.write_seconds = outcome->seconds;
    if (saving_loss_ < lowest_loss_) lowest_loss_ = saving_loss_;  // not where it is unknown
  } else {
    ++counts_.failed;
    counts_.last_error = outcome->error;
  }
  return outcome;
}

void Saving::add_stall(double seconds) {
  counts_.stall_seconds += seconds;
  counts_.longest_stall_seconds = std::max(counts_.longest_stall_seconds, seconds);
}

}  // namespace tw
