// Checkpoints of a training run, and going back to one.
#include <cmath>

#include <nlohmann/json.hpp>

#include "src/checkpoint/base.h"
#include "src/checkpoint/vote.h"
#include "src/core/activity.h"
#include "src/core/clock.h"
#include "src/core/log.h"
#include "src/train/training_loop.h"

namespace tw {
namespace {

// What costs a checkpoint or a record, and never the run.
bool is_of_the_disk(ExitCode code) { return code == ExitCode::io || code == ExitCode::cannot_create; }

}  // namespace

CheckpointInfo TrainingLoop::describe() const {
  CheckpointInfo info;
  trainer_->describe(info);
  const double joules = run_.meter.total(run_.comm);
  info.joules = std::isfinite(joules) ? earlier_joules_ + joules : -1;
  info.config_toml = config_.to_toml();
  info.tokenizer_hash = train_files_.front()->tokenizer_hash();
  return info;
}

std::string TrainingLoop::save_base(const ModelConfig& model, const Tensor& weights) {
  const ParameterTable table(model);
  const auto values_of = [&](const ParameterInfo& p) { return weights.view().flat(p.offset, p.offset + p.count()); };
  std::string hash;
  bool there = false;
  std::vector<TensorSlice> slices;  // rank 0 saves all: every rank has the same
  if (leader()) {
    WeightsHash all;
    for (const ParameterInfo& p : table.all()) {
      all.add(p.name, values_of(p));
      slices.push_back({p.name, "weight", p.shape, 0, p.count(), values_of(p)});
    }
    hash = all.hex();
  }
  hash = broadcast_text(run_.comm, hash, 0);
  const std::filesystem::path folder = base_folder(config_.get<std::string>("checkpoint.dir"), hash);
  if (leader()) {
    try {
      there = Checkpoint::open_newest(folder).has_value();
    } catch (const Error& e) {
      log_warning("{}. The base weights are saved once more", e.what());
    }
  }
  if (all_reduce_value(run_.comm, int64_t(there), ReduceOp::max) == 1) return hash;
  CheckpointInfo info;
  info.model_json = to_json(model).dump();
  info.config_toml = config_.to_toml();
  info.tokenizer_hash = train_files_.front()->tokenizer_hash();
  save_checkpoint({.folder = folder, .lease = run_.lease}, info, slices, run_.comm);
  return hash;
}

void TrainingLoop::keep_base(const Checkpoint& adapters) {
  const std::filesystem::path from = base_of(adapters), to = base_folder(config_.get<std::string>("checkpoint.dir"), adapters.info().base_hash);
  const bool same = leader() && std::filesystem::exists(to) && std::filesystem::equivalent(from, to);
  if (all_reduce_value(run_.comm, int64_t(same), ReduceOp::max) == 1) return;
  const std::optional<Checkpoint> base = open_checkpoint(from, run_.comm);
  TW_CHECK(base, data, "{} holds no finished checkpoint", from.string());
  const ModelConfig model = model_config_from_json(nlohmann::json::parse(base->info().model_json, nullptr, false));
  const std::string hash = save_base(model, *weights_of(*base, model).weights);
  TW_CHECK(hash == adapters.info().base_hash, data, "{}: these are not the weights that the adapters of {} were trained beside", from.string(),
           adapters.folder().string());
}

// What is damaged must not become a checkpoint, nor what was trained on files that changed.
void TrainingLoop::check_before_save() {
  trainer_->check_replicas();
  require_all(gather_votes(run_.comm, cast_vote([&] { return file_watch_->check(), std::string(); })));
}

void TrainingLoop::end_save() {
  if (const auto before = saving_->wait()) settle(*before, false);
}

// Training waits for the snapshot alone, or for the whole save where there is no room for one. The best is not left out for the sake
// of a save that is under way.
void TrainingLoop::start_save() {
  const PhaseScope phase(WorkPhase::checkpoint);
  PhaseTimer timer(run_.ledger, "checkpoint", run_.meter, run_.comm);
  end_save();
  check_before_save();
  if (run_.ledger) useful_ = run_.ledger->useful();
  if (saving_->in_background()) {
    saving_->start(describe());
    timer.stop(0);
    spending_->snapshot_taken(timer);
    saving_->add_stall(timer.seconds());
    return;
  }
  const SaveOutcome outcome = saving_->save(describe());
  timer.stop(0);
  spending_->saved(timer);
  settle(outcome, false);
}

// Whatever is under way comes to its end, and this step is saved.
void TrainingLoop::save_last() {
  const PhaseScope phase(WorkPhase::checkpoint);
  PhaseTimer timer(run_.ledger, "checkpoint", run_.meter, run_.comm);
  end_save();
  std::optional<SaveOutcome> outcome;
  if (saved_step_ != trainer_->steps_done()) {
    check_before_save();
    if (run_.ledger) useful_ = run_.ledger->useful();
    outcome = saving_->save(describe());
  }
  timer.stop(0);
  spending_->saved(timer);
  if (outcome) settle(*outcome, true);
}

// The end of a save, at the same boundary on every rank.
void TrainingLoop::settle(const SaveOutcome& outcome, bool must_succeed) {
  const double begin = now_seconds();
  if (!outcome.ok()) {
    if (must_succeed || !is_of_the_disk(outcome.code)) throw Error(outcome.code, outcome.error);
    if (leader()) {
      progress_->clear();
      log_warning("the checkpoint of step {} was not saved: {}. Training goes on; the next one is tried at its time", outcome.step,
                  outcome.error);
    }
  } else {
    checkpoint_ = outcome.folder;
    saved_step_ = outcome.step;
    if (run_.ledger) {
      run_.ledger->mark(saved_step_, useful_);
      run_.ledger->save();
    }
  }
  if (!leader()) return;
  const Saving::Counts& counts = saving_->counts();
  metrics_->log(SaveMetrics{.step = trainer_->steps_done(), .saved_step = outcome.step, .saved = outcome.ok(),
                            .seconds = outcome.seconds, .failed = counts.failed, .left_out = counts.left_out});
  metrics_->flush();
  try {
    write_record(nullptr);
  } catch (const Error& e) {  // the end of the run writes it once more
    if (!is_of_the_disk(e.code())) throw;
    progress_->clear();
    log_warning("{}. Training goes on", e.what());
  }
  if (saving_->in_background()) saving_->add_stall(now_seconds() - begin);
}

void TrainingLoop::tell_alarms() {
  const std::vector<Alarm>& all = trainer_->integrity().alarms();
  for (; alarms_told_ < all.size(); ++alarms_told_)
    if (leader()) integrity_log_->add(all[alarms_told_]);
}

bool TrainingLoop::return_to(int64_t most_steps) {
  end_save();
  const std::optional<Checkpoint> to = go_back(config_.get<std::string>("checkpoint.dir"), most_steps, run_.comm);
  if (!to) return false;
  trainer_->load(*to, true);
  checkpoint_ = to->folder();
  saved_step_ = trainer_->steps_done();
  window_seconds_ = window_wait_ = 0, window_tokens_ = 0;
  if (!leader()) return true;
  progress_->clear();
  metrics_.reset();
  open_metrics(saved_step_);
  if (run_.ledger) run_.ledger->resume_training(saved_step_);
  return true;
}

bool TrainingLoop::answer(const Corruption& wrong) {
  tell_alarms();
  const int64_t from = trainer_->steps_done();
  if (wrong.lasting || !return_to(from)) return false;
  if (!leader()) return true;
  log_warning("{}. Going back from step {} to the checkpoint of step {}", wrong.alarm.what, from, saved_step_);
  integrity_log_->add_rollback(from, saved_step_, 0, wrong.alarm.what);
  return true;
}

void TrainingLoop::answer(const StepResult& spike) {
  const int64_t from = trainer_->steps_done(), before = from - (SkipRule::kLasting - 1);
  const std::string why = fmt::format("the loss rose to {:.4f} in step {} and stayed high", spike.loss, spike.step);
  if (!return_to(before)) {
    if (leader()) log_warning("{}; there is no checkpoint from before to go back to", why);
    return trainer_->watch_spikes(false);
  }
  const int64_t most = config_.get<int64_t>("integrity.rollbacks");
  const int tries = ++spikes_[saved_step_];
  TW_CHECK(tries <= most, numerics,
           "{}, though {} times batches were left out after the checkpoint of step {}: lower optimizer.lr, look at the data, or start from an earlier "
           "checkpoint", why, most, saved_step_);
  const int64_t batches = batches_to_leave_out(saved_step_, from, tries);
  trainer_->leave_out({.step = saved_step_, .first = trainer_->batch_number(), .batches = batches, .loss = spike.loss});
  if (!leader()) return;
  log_warning("{}: going back to the checkpoint of step {} and leaving out {} batches", why, saved_step_, batches);
  integrity_log_->add_rollback(from, saved_step_, batches, why);
}

}  // namespace tw
