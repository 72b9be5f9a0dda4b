#include "src/train/training_run.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "src/checkpoint/checkpoint.h"
#include "src/checkpoint/vote.h"
#include "src/core/activity.h"
#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/core/signals.h"
#include "src/data/file_watch.h"
#include "src/machine/kernel_files.h"
#include "src/meter/flops.h"
#include "src/meter/metrics_log.h"
#include "src/meter/progress.h"
#include "src/train/rollback.h"
#include "src/train/saving.h"
#include "src/train/self_test.h"
#include "src/train/spending.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

using Files = std::vector<std::shared_ptr<const TokenFile>>;

Files open_files(const Config& config, const char* key) {
  Files files;
  for (const std::string& path : config.get<std::vector<std::string>>(key))
    files.push_back(TokenFile::open(path, config.get<int>("data.raw_bits")));
  return files;
}

int64_t vocab_of(const Files& files) {
  int64_t vocab = 0;
  for (const auto& f : files) vocab = std::max(vocab, f->vocab_size());
  return vocab;
}

double flops_a_token(const ModelConfig& model, const ParameterTable& table, int64_t seq_len) {
  return flops_per_token({.parameters = table.parameter_count(),
                          .input_embedding = table["tokens.weight"].count(),
                          .tied = model.tie_word_embeddings,
                          .layers = model.num_hidden_layers,
                          .attention_size = model.attention_size(),
                          .seq_len = seq_len});
}

// One run under way. Every member function is collective unless it says otherwise.
class Loop {
 public:
  explicit Loop(const TrainingRun& run);
  TrainingOutcome finish();

 private:
  bool leader() const { return run_.comm.rank() == 0; }
  void log_step(const StepResult& r);
  bool evaluate();  // whether the checkpoint of this step is one to keep
  CheckpointInfo describe() const;
  void check_before_save();
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
  nlohmann::json describe_left_out() const;  // batches

  const TrainingRun& run_;
  Config& config_;
  Files train_files_, val_files_;
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
  fs::path checkpoint_;
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

Loop::Loop(const TrainingRun& run) : run_(run), config_(run.config) {
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
  train_files_ = open_files(config_, "data.train");
  file_watch_.emplace(train_files_);
  val_files_ = open_files(config_, "data.val");
  const TokenFile& first = *train_files_.front();
  for (const auto& f : val_files_)
    TW_CHECK(f->tokenizer_hash().empty() || first.tokenizer_hash().empty() || f->tokenizer_hash() == first.tokenizer_hash(), data,
             "{} and {} were made with different tokenizers ({:.12} and {:.12}): tokenize them with one", f->path().string(),
             first.path().string(), f->tokenizer_hash(), first.tokenizer_hash());

  std::optional<GivenModel> given;
  std::optional<GivenBatch> given_batch;
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
  } else if (run.start) {
    start = run.start();
    given = start.given;
  }
  const ModelConfig model = resolve_model(config_, vocab_of(train_files_), given);
  TrainerOptions options = resolve_trainer(config_, model, run.comm.size(), given_batch, run.stream.device());
  options.packing = resolve_packing(config_, model.type, train_files_);
  const TrainingData data = resolve_data(config_, train_files_, model.vocab_size, options.global_batch_size);
  batches_ = data.batches;
  steps_ = data.steps;
  options.schedule.steps = steps_;
  log_interval_ = config_.get<int64_t>("metrics.log_interval");
  if (leader()) write_file_atomically(run.folder / "config.toml", config_.to_toml());

  if (options.integrity.enabled) self_test(run.comm, run.stream);
  const double memory_there = read_memory().usable();
  trainer_.emplace(options, batches_, run.comm, run.stream);
  if (resumed_) {
    trainer_->load(*resumed_, given_batch.has_value());
    earlier_joules_ = std::max(0.0, resumed_->info().joules);
    checkpoint_ = resumed_->folder();
    saved_step_ = trainer_->steps_done();
    if (leader()) log_info("going on from {} (step {})", checkpoint_.string(), trainer_->steps_done());
  } else if (start.weights) {
    trainer_->set_weights(start.weights->view());
  } else {
    trainer_->initialize(config_.get<uint64_t>("training.seed"));
  }
  flops_per_token_ = flops_a_token(model, trainer_->table(), options.seq_len);
  start_step_ = trainer_->steps_done();
  saving_.emplace(run, *trainer_, memory_there, resumed_ ? resumed_->passed_over() : std::vector<std::string>());
  if (leader()) {
    log_info("{} {}: {} parameters, {} tokens in {} samples; {} steps of {} samples, {} ranks x {} threads, {} virtual ranks",
             name_of(model.type), name_of(options.dtype), human_count(double(trainer_->table().parameter_count())),
             human_count(double(batches_->samples_per_epoch() * options.seq_len)), batches_->samples_per_epoch(), steps_,
             options.global_batch_size, run.comm.size(), run.threads, options.virtual_ranks);
    say_blend();
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

void Loop::open_metrics(int64_t step) {
  metrics_.emplace(run_.folder, MetricsOptions{.jsonl = config_.get<bool>("metrics.jsonl"),
                                               .tensorboard = config_.get<bool>("metrics.tensorboard"),
                                               .server = run_.metrics_server},
                   step);
}

double Loop::steps_an_evaluation() const {
  const int64_t most = config_.get<int64_t>("eval.steps"), T = trainer_->options().seq_len;
  double windows = 0;
  for (const auto& f : val_files_) {
    const int64_t all = f->size() / T + 1;
    windows += double(most > 0 ? std::min(most, all) : all);
  }
  return windows / double(trainer_->options().global_batch_size);
}

nlohmann::json Loop::describe_blend() const {
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

void Loop::say_blend() const {
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

nlohmann::json Loop::describe_left_out() const {
  nlohmann::json all = nlohmann::json::array();
  for (const LeftOut& l : trainer_->left_out()) all.push_back({{"step", l.step}, {"first", l.first}, {"batches", l.batches}, {"loss", l.loss}});
  return all;
}

void Loop::report_first_step(const StepResult& r) {
  first_step_seconds_ = process_age_seconds();
  start_seconds_ = std::max(0.0, first_step_seconds_ - r.seconds);
  if (leader())
    log_info("first step begun {} after the program's start, done after {}", human_seconds(start_seconds_), human_seconds(first_step_seconds_));
}

void Loop::log_step(const StepResult& r) {
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

// Seconds of a step, from two forward passes, the first of which fills caches and memory. Changes nothing that training
// goes by.
void Loop::guess_step() {
  const TrainerOptions& o = trainer_->options();
  const int64_t windows = o.micro_batch_size * run_.comm.size();
  trainer_->evaluate(*train_files_.front(), windows);
  const double joules = run_.meter.total(run_.comm);
  const double forward = trainer_->evaluate(*train_files_.front(), windows).seconds;
  // The backward pass is twice a forward one.
  const double passes = 3 * double(o.global_batch_size) / double(windows);
  spending_->guess_step(forward * passes, (run_.meter.total(run_.comm) - joules) * passes);
}

bool Loop::evaluate() {
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
    bits += e.bits_per_byte(vocab, file->size()) * scored;
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

CheckpointInfo Loop::describe() const {
  CheckpointInfo info;
  trainer_->describe(info);
  const double joules = run_.meter.total(run_.comm);
  info.joules = std::isfinite(joules) ? earlier_joules_ + joules : -1;
  info.config_toml = config_.to_toml();
  info.tokenizer_hash = train_files_.front()->tokenizer_hash();
  return info;
}

// What is damaged must not become a checkpoint, nor what was trained on files that changed.
void Loop::check_before_save() {
  trainer_->check_replicas();
  require_all(gather_votes(run_.comm, cast_vote([&] { return file_watch_->check(), std::string(); })));
}

// Training waits for the snapshot alone, or for the whole save where there is no room for one.
void Loop::start_save() {
  const PhaseScope phase(WorkPhase::checkpoint);
  PhaseTimer timer(run_.ledger, "checkpoint", run_.meter, run_.comm);
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
void Loop::save_last() {
  const PhaseScope phase(WorkPhase::checkpoint);
  PhaseTimer timer(run_.ledger, "checkpoint", run_.meter, run_.comm);
  if (const auto before = saving_->wait()) settle(*before, false);
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
void Loop::settle(const SaveOutcome& outcome, bool must_succeed) {
  const double begin = now_seconds();
  if (!outcome.ok()) {
    const bool disk = outcome.code == ExitCode::io || outcome.code == ExitCode::cannot_create;
    if (must_succeed || !disk) throw Error(outcome.code, outcome.error);
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
  write_record(nullptr);
  if (saving_->in_background()) saving_->add_stall(now_seconds() - begin);
}

nlohmann::json Loop::describe_saves() const {
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

void Loop::write_record(const Trainer::ExchangeCost* exchange) const {
  const nlohmann::json model = to_json(trainer_->options().model);
  nlohmann::json record = {{"model", model},
                           {"parameters", trainer_->table().parameter_count()},
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

void Loop::tell_alarms() {
  const std::vector<Alarm>& all = trainer_->integrity().alarms();
  for (; alarms_told_ < all.size(); ++alarms_told_)
    if (leader()) integrity_log_->add(all[alarms_told_]);
}

bool Loop::return_to(int64_t most_steps) {
  if (const auto under_way = saving_->wait()) settle(*under_way, false);
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

bool Loop::answer(const Corruption& wrong) {
  tell_alarms();
  const int64_t from = trainer_->steps_done();
  if (wrong.lasting || !return_to(from)) return false;
  if (!leader()) return true;
  log_warning("{}. Going back from step {} to the checkpoint of step {}", wrong.alarm.what, from, saved_step_);
  integrity_log_->add_rollback(from, saved_step_, 0, wrong.alarm.what);
  return true;
}

void Loop::answer(const StepResult& spike) {
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

TrainingOutcome Loop::finish() {
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
  while (!now.stop() && trainer_->steps_done() < steps_) try {
    trainer_->watch_spikes(saved_step_ >= 0 && config_.get<int64_t>("integrity.rollbacks") > 0 && config_.get<bool>("integrity.enabled"));
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
    else if (now.saving) saving_->leave_out();
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

}  // namespace

TrainingOutcome train(const TrainingRun& run) { return Loop(run).finish(); }

}  // namespace tw
