// What a training run tells people, metrics and train.json.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/train/training_loop.h"

namespace tw {
namespace {

constexpr double kTrainedBytes = 4 + 8 + 12;  // of a parameter: its gradient, m and v, and weight, m and v in a checkpoint; fp32

}  // namespace

void TrainingLoop::open_metrics(int64_t step) {
  metrics_.emplace(run_.folder, MetricsOptions{.jsonl = config_.get<bool>("metrics.jsonl"),
                                               .tensorboard = config_.get<bool>("metrics.tensorboard"),
                                               .server = run_.metrics_server},
                   step);
}

nlohmann::json TrainingLoop::describe_blend() const {
  const int64_t samples = steps_ * trainer_->options().global_batch_size;
  const std::vector<int64_t> drawn = batches_->blend()->drawn(samples);
  nlohmann::json all = nlohmann::json::array();
  for (size_t f = 0; f < drawn.size(); ++f)
    all.push_back({{"file", train_files_[f]->path().string()},
                   {"weight", double(drawn[f]) / double(samples)},
                   {"samples", drawn[f]},
                   {"epochs", drawn[f] > 0 ? double(drawn[f]) / double(batches_->samples_of(f)) : 0.0}});
  return all;
}

void TrainingLoop::say_blend() const {
  if (!batches_->blend()) return;
  const auto name = [&](size_t f) { return train_files_[f]->path().filename().string(); };
  const auto& stages = batches_->blend()->stages();
  std::string text = "blend:";
  for (const Blend::Stage& s : stages) {
    text += fmt::format("\n  from step {}:", s.first / trainer_->options().global_batch_size + 1);
    if (s.first >= steps_ * trainer_->options().global_batch_size) text += " (behind the end of this run)";
    for (size_t f = 0; f < s.parts.size(); ++f)
      text += fmt::format("{} {} {:.4g}", f ? "," : "", name(f), double(s.parts[f]) / double(s.period));
  }
  const nlohmann::json all = describe_blend();
  for (size_t f = 0; f < all.size(); ++f)
    text += fmt::format("\n  {}: weight {:.4g}{}, {:.2f} epochs", name(f), all[f]["weight"].get<double>(),
                        stages.size() > 1 ? " over the run" : "", all[f]["epochs"].get<double>());
  log_info("{}", text);
}

void TrainingLoop::say_adapters() const {
  const AdapterConfig& a = trainer_->options().adapters;
  if (!a.any()) return;
  const double all = double(trainer_->model_table().parameter_count()), trained = double(trainer_->table().parameter_count());
  log_info("adapters of rank {}, alpha {:g}, on {}: {} of {} parameters are trained ({:.3g} %). Gradients, AdamW's state and a checkpoint take {} where "
           "all parameters would take {}",
           a.rank, a.alpha, a.targets == AdapterTargets::all ? "all linear layers of the blocks" : "linear layers of " + name_of(a.targets), human_count(trained),
           human_count(all), 100 * trained / all, human_bytes(kTrainedBytes * trained), human_bytes(kTrainedBytes * all));
}

nlohmann::json TrainingLoop::describe_adapters() const {
  const AdapterConfig& a = trainer_->options().adapters;
  if (!a.any()) return nullptr;
  nlohmann::json out = to_json(a);
  CheckpointInfo info;
  trainer_->describe(info);
  out["trained_parameters"] = trainer_->table().parameter_count();
  out["base"] = info.base_hash;
  return out;
}

nlohmann::json TrainingLoop::describe_left_out() const {
  nlohmann::json all = nlohmann::json::array();
  for (const LeftOut& l : trainer_->left_out()) all.push_back({{"step", l.step}, {"first", l.first}, {"batches", l.batches}, {"loss", l.loss}});
  return all;
}

nlohmann::json TrainingLoop::describe_saves() const {
  const Saving::Counts& c = saving_->counts();
  return {{"in_background", saving_->in_background()},
          {"saved", c.saved},
          {"failed", c.failed},
          {"left_out", c.left_out},
          {"last_error", c.last_error.empty() ? nlohmann::json() : nlohmann::json(c.last_error)},
          {"snapshot_bytes", saving_->in_background() ? trainer_->snapshot_bytes() : 0},
          {"stall_seconds", c.stall_seconds},
          {"longest_stall_seconds", c.longest_stall_seconds},
          {"write_seconds", c.write_seconds}};
}

void TrainingLoop::report_first_step(const StepResult& r) {
  first_step_seconds_ = process_age_seconds();
  start_seconds_ = std::max(0.0, first_step_seconds_ - r.seconds);
  if (leader())
    log_info("first step begun {} after the program's start, done after {}", human_seconds(start_seconds_), human_seconds(first_step_seconds_));
}

void TrainingLoop::log_step(const StepResult& r) {
  const Spending::Stretch stretch = spending_->take();
  if (leader()) {
    if (run_.ledger) {
      run_.ledger->add_training(r.step, stretch.seconds, stretch.joules, window_tokens_);
      run_.ledger->save_if_due();
    }
    const double rate = double(window_tokens_) / window_seconds_;
    metrics_->log(StepMetrics{.step = r.step,
                              .loss = r.loss,
                              .lr = r.lr,
                              .grad_norm = r.grad_norm,
                              .tokens = trainer_->tokens_done(),
                              .samples = trainer_->samples_done(),
                              .tokens_per_second = rate,
                              .model_flops_per_second = rate * flops_per_token_,
                              .memory_bytes = peak_resident_bytes(),
                              .joules = spending_->joules(),
                              .joules_per_token = stretch.joules / double(window_tokens_),
                              .power_w = stretch.joules / stretch.seconds,
                              .skipped = trainer_->steps_skipped(),
                              .seconds = r.seconds,
                              .sync_wait_seconds = window_wait_});
    const double share = double(r.step) / double(steps_);
    if (progress_->due(share)) {
      progress_->draw(train_progress_text({.step = r.step,
                                           .steps = steps_,
                                           .loss = r.loss,
                                           .tokens_per_second = rate,
                                           .model_flops_per_second = rate * flops_per_token_,
                                           .joules_per_token = stretch.joules / double(window_tokens_),
                                           .kind = run_.meter.kind(),
                                           .seconds_left = spending_->forecast().rest(r.step).seconds},
                                          progress_->width()),
                      share);
    }
  }
  window_seconds_ = window_wait_ = 0;
  window_tokens_ = 0;
}

void TrainingLoop::write_record(const Trainer::ExchangeCost* exchange) const {
  const nlohmann::json model = to_json(trainer_->options().model);
  nlohmann::json record = {{"model", model},
                           {"parameters", trainer_->model_table().parameter_count()},
                           {"adapters", describe_adapters()},
                           {"step", trainer_->steps_done()},
                           {"steps", steps_},
                           {"dtype", config_.get<std::string>("training.dtype")},
                           {"ranks", run_.comm.size()},
                           {"threads", run_.threads},
                           {"virtual_ranks", trainer_->options().virtual_ranks},
                           {"deterministic", config_.get<std::string>("debug.deterministic")},
                           {"data_fingerprint", batches_->fingerprint()},
                           {"blend", batches_->blend() ? describe_blend() : nullptr},
                           {"tokenizer_hash", train_files_.front()->tokenizer_hash()},
                           {"checkpoint", checkpoint_.filename().string()},
                           {"start_seconds", nullptr},
                           {"start_to_first_step_seconds", nullptr},
                           {"exchange", nullptr},
                           {"integrity", {{"alarms", trainer_->integrity().alarms().size()}, {"left_out", describe_left_out()}}},
                           {"flops_per_token", flops_per_token_},
                           {"arena_bytes", trainer_->plan().bytes()},
                           {"checkpoints", describe_saves()},
                           {"command", run_.command}};
  const auto number = [](double v) { return std::isfinite(v) ? nlohmann::json(v) : nlohmann::json(nullptr); };
  const auto& predicted = spending_->prediction();
  // From `predicted_after_step` to the end of training, evaluations and checkpoints included.
  record["time"] = {{"predicted_seconds", number(predicted ? predicted->rest.seconds : kNoJoules)},
                    {"predicted_after_step", predicted ? nlohmann::json(predicted->step) : nullptr},
                    {"measured_seconds", number(predicted ? predicted->took_seconds : kNoJoules)}};
  record["energy"] = {{"kind", name_of(run_.meter.kind())},
                      {"predicted_joules", number(predicted ? predicted->rest.known_joules() : kNoJoules)},
                      {"measured_joules", number(predicted ? predicted->took_joules : kNoJoules)},
                      {"idle_watts", number(idle_watts_)}};
  if (std::isfinite(first_step_seconds_))
    record["start_seconds"] = start_seconds_, record["start_to_first_step_seconds"] = first_step_seconds_;
  if (exchange) record["exchange"] = {{"exact_seconds", exchange->exact}, {"off_seconds", exchange->off}};
  write_file_atomically(run_.folder / "train.json", record.dump(2) + "\n");
}

}  // namespace tw
