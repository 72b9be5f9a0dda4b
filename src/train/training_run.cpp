#include "src/train/training_run.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "src/checkpoint/base.h"
#include "src/core/activity.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/core/signals.h"
#include "src/machine/kernel_files.h"
#include "src/meter/flops.h"
#include "src/train/self_test.h"
#include "src/train/training_loop.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

double flops_a_token(const Trainer& trainer) {
  const ModelConfig& model = trainer.options().model;
  return flops_per_token({.parameters = trainer.model_table().parameter_count(),
                          .input_embedding = trainer.model_table()["tokens.weight"].count(),
                          .tied = model.tie_word_embeddings,
                          .layers = model.num_hidden_layers,
                          .attention_size = model.attention_size(),
                          .seq_len = trainer.options().seq_len,
                          .adapters = trainer.options().adapters.any() ? trainer.table().parameter_count() : 0});
}

}  // namespace

StartWeights weights_of(const Checkpoint& checkpoint, const ModelConfig& model) {
  const ParameterTable table(model);
  auto flat = std::make_shared<Tensor>(Shape{table.flat_count()}, DType::fp32);
  for (const ParameterInfo& p : table.all()) checkpoint.read(p.name, "weight", 0, p.count(), flat->view().flat(p.offset, p.offset + p.count()));
  return {{model, "checkpoint"}, std::move(flat)};
}

TrainingLoop::TrainingLoop(const TrainingRun& run) : run_(run), config_(run.config) {
  TW_CHECK(!run.budget.any() || !leader() || run.ledger, bug, "a budget is counted from the ledger of phases");
  const PhaseScope phase(WorkPhase::load);
  PhaseTimer loading(run.ledger, "load", run.meter, run.comm);
  const std::string resume = config_.get<std::string>("checkpoint.resume");
  fs::path folder = config_.get<std::string>("checkpoint.dir");
  if (folder.empty()) {
    folder = run.folder / "checkpoints";
    config_.set("checkpoint.dir", folder.string(), "derived");
  }
  if (resume == "auto") {
    resumed_ = open_checkpoint(folder, run.comm);
  } else if (resume != "never") {
    resumed_ = open_checkpoint(resume, run.comm);
    TW_CHECK(resumed_, no_input, "{}: checkpoint.resume = \"{}\" holds no checkpoint", config_.origin("checkpoint.resume"), resume);
  }
  TW_CHECK(!config_.get<std::vector<std::string>>("data.train").empty(), config,
           "data.train is empty: name token files, or a run folder that was tokenized with --out");
  train_files_ = open_token_files(config_, "data.train");
  file_watch_.emplace(train_files_);
  val_files_ = open_token_files(config_, "data.val");
  const TokenFile& first = *train_files_.front();
  for (const auto& f : val_files_)
    TW_CHECK(f->tokenizer_hash().empty() || first.tokenizer_hash().empty() || f->tokenizer_hash() == first.tokenizer_hash(), data,
             "{} and {} were made with different tokenizers ({:.12} and {:.12}): tokenize them with one", f->path().string(),
             first.path().string(), f->tokenizer_hash(), first.tokenizer_hash());

  std::optional<GivenModel> given;
  std::optional<GivenBatch> given_batch;
  std::optional<AdapterConfig> given_adapters;
  StartWeights start;
  if (resumed_) {
    const CheckpointInfo& info = resumed_->info();
    given = {model_config_from_json(nlohmann::json::parse(info.model_json, nullptr, false)), "checkpoint"};
    const auto state = nlohmann::json::parse(info.trainer_json, nullptr, false);
    const auto whole = [&](const char* key) {
      const bool known = state.is_object() && state.contains(key) && state[key].is_number_integer();
      return known ? state[key].get<int64_t>() : 0;
    };
    // An imported model has weights alone.
    if (const int64_t parts = whole("virtual_ranks"); parts > 0 && parts <= 1 << 20)
      given_batch = {int(parts), whole("global_batch_size")};
    if (!info.adapter_json.empty()) given_adapters = parse_adapter_config(info.adapter_json, resumed_->folder().string());
  } else if (run.start) {
    start = run.start(largest_vocab(train_files_));
    given = start.given;
  }
  const AdapterConfig adapters = resolve_adapters(config_, given_adapters);
  const bool adapted = adapters.any() && !given_adapters;  // they begin here
  if (adapted && resumed_) {
    TW_CHECK(!given_batch, config, "{}: lora.rank = {}, but {} is of a run that trains all weights. Train adapters in another run folder, with "
             "checkpoint.init_from = \"{}\"", config_.origin("lora.rank"), adapters.rank, resumed_->folder().string(), resumed_->folder().string());
    start = weights_of(*resumed_, given->model);
    resumed_.reset();
  }
  TW_CHECK(!adapted || start.weights, config, "{}: lora.rank = {} trains adapters of a model that is there: name it with checkpoint.init_from (a Hugging "
           "Face folder, a run or a checkpoint), or set lora.rank = 0", config_.origin("lora.rank"), adapters.rank);
  const ModelConfig model = resolve_model(config_, largest_vocab(train_files_), given);
  TrainerOptions options = resolve_trainer(config_, model, run.comm.size(), given_batch, run.stream.device());
  options.adapters = adapters;
  options.packing = resolve_packing(config_, model.type, train_files_);
  for (const auto& [key, value] : {std::pair("data.reset_attention_mask", options.packing.reset_attention_mask), std::pair("data.reset_position_ids", options.packing.reset_position_ids)})
    if (config_.is_default(key) && value) config_.set(key, value, "derived");
  const TrainingData data = resolve_data(config_, train_files_, model.vocab_size, options.global_batch_size);
  batches_ = data.batches;
  steps_ = data.steps;
  options.schedule.steps = steps_;
  log_interval_ = config_.get<int64_t>("metrics.log_interval");
  if (leader()) write_file_atomically(run.folder / "config.toml", config_.to_toml());

  std::string base_hash;
  if (adapted) {
    base_hash = save_base(model, *start.weights);
    start.weights.reset();  // from here on the base is read where it was saved
  } else if (given_adapters) {
    keep_base(*resumed_);
  }
  if (options.integrity.enabled) self_test(run.comm, run.stream);
  const double memory_there = read_memory().usable();
  trainer_.emplace(options, batches_, run.comm, run.stream);
  if (resumed_) {
    trainer_->load(*resumed_, given_batch.has_value());
    earlier_joules_ = std::max(0.0, resumed_->info().joules);
    checkpoint_ = resumed_->folder();
    saved_step_ = trainer_->steps_done();
    if (leader()) log_info("going on from {} (step {})", checkpoint_.string(), trainer_->steps_done());
  } else if (adapted) {
    const std::optional<Checkpoint> base = open_checkpoint(base_folder(folder, base_hash), run.comm);
    TW_CHECK(base, io, "{} is gone, though it was just saved", base_folder(folder, base_hash).string());
    trainer_->load_base(*base, base_hash);
    trainer_->initialize(config_.get<uint64_t>("training.seed"));
  } else if (start.weights) {
    trainer_->set_weights(start.weights->view());
  } else {
    trainer_->initialize(config_.get<uint64_t>("training.seed"));
  }
  flops_per_token_ = flops_a_token(*trainer_);
  start_step_ = trainer_->steps_done();
  saving_.emplace(run, *trainer_, memory_there, resumed_ ? resumed_->passed_over() : std::vector<std::string>());
  if (leader()) {
    log_info("{} {}: {} parameters, {} tokens in {} samples; {} steps of {} samples, {} ranks x {} threads, {} virtual ranks",
             name_of(model.type), name_of(options.dtype), human_count(double(trainer_->model_table().parameter_count())),
             human_count(double(batches_->samples_per_epoch() * options.seq_len)), batches_->samples_per_epoch(), steps_,
             options.global_batch_size, run.comm.size(), run.threads, options.virtual_ranks);
    say_blend();
    say_adapters();
    log_info("memory of a rank:\n{}", trainer_->plan().table() + saving_->memory_line());
    open_metrics(start_step_);
    integrity_log_.emplace(run.folder);
    if (run.ledger) run.ledger->resume_training(start_step_);
    progress_.emplace(ProgressOptions{.quiet = !run.show_progress});
    if (run.on_step) run.on_step(start_step_, steps_);
  }
  loading.stop(0);
  // What a GPU draws with the model in its memory and nothing to do is no price of the tokens.
  if (run.stream.device().is_cuda()) idle_watts_ = measure_idle_watts(run.meter, run.comm, 1);
  if (leader() && std::isfinite(idle_watts_)) log_info("power without work: {:.0f} W", idle_watts_);
  spending_.emplace(run, ForecastPlan{.start_step = start_step_,
                                      .steps = steps_,
                                      .eval_every = config_.get<int64_t>("eval.interval"),
                                      .save_every = config_.get<int64_t>("checkpoint.interval"),
                                      .evaluates = !val_files_.empty(),
                                      .steps_an_evaluation = steps_an_evaluation(),
                                      .checkpoint_bytes = 12 * double(trainer_->table().parameter_count()),
                                      .saves_in_background = saving_->in_background()});
}

double TrainingLoop::steps_an_evaluation() const {
  const int64_t most = config_.get<int64_t>("eval.steps"), T = trainer_->options().seq_len;
  double windows = 0;
  for (const auto& f : val_files_) {
    const int64_t all = f->size() / T + 1;
    windows += double(most > 0 ? std::min(most, all) : all);
  }
  return windows / double(trainer_->options().global_batch_size);
}

// Seconds of a step, from two forward passes, the first of which fills caches and memory. Changes nothing that training
// goes by.
void TrainingLoop::guess_step() {
  const TrainerOptions& o = trainer_->options();
  const int64_t windows = o.micro_batch_size * run_.comm.size();
  trainer_->evaluate(*train_files_.front(), windows);
  const double joules = run_.meter.total(run_.comm);
  const double forward = trainer_->evaluate(*train_files_.front(), windows).seconds;
  // The backward pass is twice a forward one, or like one where most weights are frozen.
  const int64_t again = o.integrity.recompute_interval;
  const double passes = (o.adapters.any() ? 2 : 3) * (1 + (again > 0 ? 1 / double(again) : 0)) * double(o.global_batch_size) / double(windows);
  spending_->guess_step(forward * passes, (run_.meter.total(run_.comm) - joules) * passes);
}

bool TrainingLoop::evaluate() {
  if (val_files_.empty()) return false;
  PhaseTimer timer(run_.ledger, "eval", run_.meter, run_.comm);
  Evaluation sum;
  double bits = 0, bytes = 0;
  const int64_t vocab = config_.get<int64_t>("model.vocab_size");
  for (const auto& file : val_files_) {
    const Evaluation e = trainer_->evaluate(*file, config_.get<int64_t>("eval.steps"));
    sum.loss_sum += e.loss_sum;
    sum.tokens += e.tokens;
    // Equal weight for every byte of text that was scored.
    const double scored = double(e.source_bytes) * double(e.tokens) / double(file->size());
    if (scored > 0) bits += e.bits_per_byte(vocab, file->size()) * scored;
    bytes += scored;
  }
  timer.stop(sum.tokens);
  spending_->evaluated(timer);
  if (leader()) {
    metrics_->log(EvalMetrics{.step = trainer_->steps_done(),
                              .loss = float(sum.loss()),
                              .perplexity = sum.perplexity(),
                              .bits_per_byte = bytes > 0 ? bits / bytes : kNoJoules});
    progress_->clear();
    log_info("step {}: held-out loss {:.4f}, perplexity {:.2f}{}", trainer_->steps_done(), sum.loss(), sum.perplexity(),
             bytes > 0 && std::isfinite(bits) ? fmt::format(", {:.3f} bits per byte", bits / bytes) : "");
  }
  return saving_->evaluated(trainer_->steps_done(), sum.loss());
}

TrainingOutcome TrainingLoop::finish() {
  const int64_t eval_every = config_.get<int64_t>("eval.interval");
  TrainingOutcome outcome{.step = trainer_->steps_done(), .steps = steps_, .checkpoint = checkpoint_};
  if (trainer_->steps_done() >= steps_) {
    if (leader()) log_info("training is complete: {} of {} steps are done", trainer_->steps_done(), steps_);
    return outcome;
  }
  const PhaseScope phase(WorkPhase::between_steps);
  if (leader() && run_.ledger) run_.ledger->start("train");
  const auto say = [&](const std::string& sentence) {
    if (!leader() || sentence.empty()) return;
    progress_->clear();
    log_info("{}", sentence);
  };
  spending_->begin();
  // Ranks agree on whether there is a meter and a first step, rank 0 alone has the ledger.
  if (start_step_ == 0 && (run_.meter.kind() != EnergyKind::none || run_.budget.any())) guess_step();
  say(spending_->before(start_step_));
  Spending::Boundary now = spending_->meet(start_step_, false, false);
  const bool goes_back = config_.get<int64_t>("integrity.rollbacks") > 0 && config_.get<bool>("integrity.enabled");
  while (!now.stop() && trainer_->steps_done() < steps_) try {
    trainer_->watch_spikes(goes_back && saved_step_ >= 0);
    const StepResult r = trainer_->step();
    tell_alarms();
    if (r.verdict == StepVerdict::spike) {
      answer(r);
      continue;
    }
    const bool last = r.step == steps_;
    window_seconds_ += r.seconds;
    window_wait_ += r.sync_wait_seconds;
    window_tokens_ += r.tokens;
    train_seconds_ += r.seconds;
    outcome.loss = r.loss;
    if (r.step == start_step_ + 1) report_first_step(r);
    if (r.verdict != StepVerdict::take && leader()) {
      progress_->clear();
      log_warning("step {} was left out: loss {}, gradient norm {} {}", r.step, r.loss, r.grad_norm,
                  r.verdict == StepVerdict::not_finite ? "not finite" : "far above the usual");
    }
    now = spending_->meet(r.step, saving_->busy(), saving_->due_by_time());
    const bool stop = now.stop();
    spending_->end_step(last || stop);
    if (r.step % log_interval_ == 0 || last || stop) log_step(r);
    if (leader()) say(spending_->predict(r.step));
    if (leader() && run_.on_step) run_.on_step(r.step, steps_);
    if (!now.saving)
      if (const auto ended = saving_->take()) settle(*ended, false);
    const bool best = (last || (eval_every > 0 && r.step % eval_every == 0 && !stop)) && evaluate();
    if (last || stop) save_last();
    else if (!(best || now.save_due || saving_->due_by_step(r.step))) continue;
    else if (now.saving && !best) saving_->leave_out();
    else start_save();
  } catch (const Corruption& wrong) {
    if (!answer(wrong)) throw;
  }
  if (leader()) progress_->finish();
  outcome.step = trainer_->steps_done();
  outcome.checkpoint = checkpoint_;
  if (outcome.step < steps_ && now.budget) {
    outcome.code = ExitCode::budget;
    if (leader()) {
      const std::string missing = spending_->stopped(outcome, saved_step_ == outcome.step);
      log_info("{}\n{}", outcome.reason, missing);
      if (run_.ledger) run_.ledger->save();
    }
    outcome.reason = broadcast_text(run_.comm, outcome.reason, 0);
    return outcome;
  }
  if (outcome.step < steps_) {
    outcome.code = ExitCode::requeue;
    outcome.reason = fmt::format("signal {} asked for a stop; saved at step {} of {}, the same command goes on", stop_signal(),
                                 outcome.step, steps_);
    if (leader()) log_info("{}", outcome.reason);
    return outcome;
  }
  spending_->finish();
  say(spending_->compare());
  std::optional<Trainer::ExchangeCost> exchange;
  if (run_.comm.size() > 1) exchange = trainer_->measure_exchange();
  if (leader()) {
    write_record(exchange ? &*exchange : nullptr);
    if (exchange) {
      const double a_step = train_seconds_ / double(outcome.step - start_step_);
      log_info("exchange of gradients alone: exact sum {}, plain all-reduce (\"off\") {}: \"off\" would gain {:.2f} % of a step",
               human_seconds(exchange->exact), human_seconds(exchange->off),
               100 * std::max(0.0, exchange->exact - exchange->off) / a_step);
    }
  }
  return outcome;
}

TrainingOutcome train(const TrainingRun& run) { return TrainingLoop(run).finish(); }

}  // namespace tw
