#include "src/train/training_run.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "src/checkpoint/checkpoint.h"
#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/core/signals.h"
#include "src/meter/flops.h"
#include "src/meter/metrics_log.h"
#include "src/meter/progress.h"
#include "src/train/forecast.h"

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
  void evaluate();
  void save(bool must_succeed);
  void write_record(const Trainer::ExchangeCost* exchange) const;  // rank 0
  void report_first_step();
  // A boundary between steps: what each rank has to tell the others goes through one exchange, so that all decide alike.
  struct Boundary {
    bool signal = false, budget = false;
    bool stop() const { return signal || budget; }
  };
  Boundary meet();
  Allowance allowance_now() const;  // rank 0
  void end_stretch(bool last);
  void take_out(const PhaseTimer& timer);
  void predict();
  void say_what_is_missing(TrainingOutcome& outcome) const;  // rank 0, at a budget
  std::string say(const PhaseTotals& amount) const;          // rank 0
  double steps_an_evaluation() const;
  nlohmann::json describe_blend() const;  // what the whole run takes of each file
  void say_blend() const;

  const TrainingRun& run_;
  Config& config_;
  Files train_files_, val_files_;
  std::optional<Checkpoint> resumed_;
  std::shared_ptr<const Batches> batches_;
  std::optional<Trainer> trainer_;
  std::optional<MetricsLog> metrics_;    // rank 0
  std::optional<ProgressLine> progress_; // rank 0
  int64_t steps_ = 0, log_interval_ = 1;
  double flops_per_token_ = 0;
  double earlier_joules_ = 0;  // of the starts before this one
  double first_step_seconds_ = kNoJoules;
  fs::path checkpoint_;
  int64_t saved_step_ = -1;
  // Since the last line of metrics: time of steps alone, without evaluation and checkpoints.
  double window_seconds_ = 0, window_wait_ = 0;
  int64_t window_tokens_ = 0;
  double train_seconds_ = 0;     // of all steps here
  int64_t start_step_ = 0;
  // What goes to the phase "train": all time that no other phase takes, in stretches from a boundary to the next. Where
  // the meter cannot be read for a moment the stretch goes on, and its joules are known when it is back.
  Tensor told_{{4}, DType::fp64};
  double joules_ = 0;                          // of all ranks in this start, as of the last boundary
  double clock_mark_ = 0, joules_mark_ = 0;    // where the stretch began
  int64_t stretch_steps_ = 0;
  double unread_since_ = kNoJoules;            // the meter, by the clock
  double train_wall_ = 0, train_joules_ = 0;   // of stretches that the ledger does not hold yet
  std::optional<Forecast> forecast_;           // rank 0
  // The rest as predicted once, and from where.
  struct Predicted {
    int64_t step = 0;
    PhaseTotals rest;
    double clock = 0, joules = 0;
  };
  std::optional<Predicted> predicted_;
  double took_seconds_ = kNoJoules, took_joules_ = kNoJoules;  // from there to the end
};

Loop::Loop(const TrainingRun& run) : run_(run), config_(run.config) {
  TW_CHECK(!run.budget.any() || !leader() || run.ledger, bug, "a budget is counted from the ledger of phases");
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
  TrainerOptions options = resolve_trainer(config_, model, run.comm.size(), given_batch);
  options.packing = resolve_packing(config_, model.type, train_files_);
  const TrainingData data = resolve_data(config_, train_files_, model.vocab_size, options.global_batch_size);
  batches_ = data.batches;
  steps_ = data.steps;
  options.schedule.steps = steps_;
  log_interval_ = config_.get<int64_t>("metrics.log_interval");
  if (leader()) write_file_atomically(run.folder / "config.toml", config_.to_toml());

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
  if (leader()) {
    log_info("{} {}: {} parameters, {} tokens in {} samples; {} steps of {} samples, {} ranks x {} threads, {} virtual ranks",
             name_of(model.type), name_of(options.dtype), human_count(double(trainer_->table().parameter_count())),
             human_count(double(batches_->samples_per_epoch() * options.seq_len)), batches_->samples_per_epoch(), steps_,
             options.global_batch_size, run.comm.size(), run.threads, options.virtual_ranks);
    say_blend();
    log_info("memory of a rank:\n{}", trainer_->plan().table());
    metrics_.emplace(run.folder, MetricsOptions{.jsonl = config_.get<bool>("metrics.jsonl"),
                                                .tensorboard = config_.get<bool>("metrics.tensorboard")},
                     start_step_);
    if (run.ledger) run.ledger->resume_training(start_step_);
    progress_.emplace(ProgressOptions{.quiet = !run.show_progress});
    if (run.on_step) run.on_step(start_step_, steps_);
  }
  loading.stop(0);
  if (leader())
    forecast_.emplace(ForecastPlan{.start_step = start_step_,
                                   .steps = steps_,
                                   .eval_every = config_.get<int64_t>("eval.interval"),
                                   .save_every = config_.get<int64_t>("checkpoint.interval"),
                                   .evaluates = !val_files_.empty(),
                                   .steps_an_evaluation = steps_an_evaluation(),
                                   .checkpoint_bytes = 12 * double(trainer_->table().parameter_count())},
                      run.ledger);
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

void Loop::report_first_step() {
  first_step_seconds_ = process_age_seconds();
  if (leader()) log_info("first step done {} after the program's start", human_seconds(first_step_seconds_));
}

void Loop::log_step(const StepResult& r) {
  if (leader()) {
    if (run_.ledger) {
      run_.ledger->add_training(r.step, train_wall_, train_joules_, window_tokens_);
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
                              .joules = joules_,
                              .joules_per_token = train_joules_ / double(window_tokens_),
                              .power_w = train_joules_ / train_wall_,
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
                                           .joules_per_token = train_joules_ / double(window_tokens_),
                                           .kind = run_.meter.kind(),
                                           .seconds_left = forecast_->rest(r.step).seconds},
                                          progress_->width()),
                      share);
    }
  }
  window_seconds_ = window_wait_ = train_wall_ = train_joules_ = 0;
  window_tokens_ = 0;
}

Loop::Boundary Loop::meet() {
  // Ranks that keep no ledger add nothing to what rank 0 says.
  const Allowance allowed = leader() ? allowance_now() : Allowance{true, 0};
  double* told = told_.as<double>();
  told[0] = stop_signal() != 0;
  told[1] = run_.meter.joules();
  told[2] = !allowed.time;
  told[3] = allowed.joules;
  run_.comm.all_reduce(told_.view(), ReduceOp::sum, run_.stream);
  joules_ = told[1];
  // NaN: unknown for the moment, and no reason to stop.
  return {.signal = told[0] > 0, .budget = told[2] > 0 || told[1] > told[3]};
}

// What the job's meter may show now.
Allowance Loop::allowance_now() const {
  if (!run_.budget.any()) return {};
  constexpr double kPatience = 60;  // seconds without a meter: what cannot be counted is not gone on with
  PhaseTotals used = run_.ledger->total();
  const double open = train_wall_ + now_seconds() - clock_mark_;
  used.seconds += open;
  used.node_seconds += open * run_.ledger->nodes();
  Allowance allowed = allowance(run_.budget, run_.ledger->options(), used, forecast_->next(trainer_->steps_done()));
  allowed.joules -= used.joules + train_joules_ - joules_mark_;
  if (run_.budget.wants_joules(run_.ledger->options()) && now_seconds() - unread_since_ > kPatience) allowed.time = false;
  return allowed;
}

// Behind meet(). last: the stretch ends whether its joules are known or not.
void Loop::end_stretch(bool last) {
  const double clock = now_seconds();
  const bool read = std::isfinite(joules_), meter = run_.meter.kind() != EnergyKind::none;
  if (read || !meter)
    unread_since_ = kNoJoules;
  else if (!(unread_since_ <= clock))
    unread_since_ = clock;
  ++stretch_steps_;
  if (meter && !read && !last) return;
  if (forecast_) forecast_->add_steps(stretch_steps_, clock - clock_mark_, joules_ - joules_mark_);
  stretch_steps_ = 0;
  train_wall_ += clock - clock_mark_;
  train_joules_ += joules_ - joules_mark_;
  clock_mark_ = clock;
  if (read) joules_mark_ = joules_;
}

// What another phase took does not belong to the stretch.
void Loop::take_out(const PhaseTimer& timer) {
  clock_mark_ += timer.seconds();
  if (std::isfinite(timer.joules())) joules_mark_ += timer.joules();
}

// "3 min 20 s, 4.1 kJ, 0.002 EUR", as far as it is known.
std::string Loop::say(const PhaseTotals& amount) const {
  std::string text = human_seconds(amount.seconds);
  if (const double joules = amount.known_joules(); run_.meter.kind() != EnergyKind::none && std::isfinite(joules))
    text += ", " + human_joules(joules) + (run_.meter.kind() == EnergyKind::assumed ? " (assumed)" : "");
  if (!run_.ledger) return text;
  if (const double eur = run_.ledger->eur(amount); std::isfinite(eur)) text += fmt::format(", {:.3g} EUR", eur);
  return text;
}

void Loop::predict() {
  if (!leader() || predicted_ || !forecast_->warm()) return;
  const int64_t step = trainer_->steps_done();
  if (step >= steps_) return;
  predicted_ = {step, forecast_->rest(step), now_seconds(), joules_};
  progress_->clear();
  log_info("predicted after step {}: {} for the other {} steps", step, say(predicted_->rest), steps_ - step);
}

void Loop::evaluate() {
  if (val_files_.empty()) return;
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
  take_out(timer);
  if (forecast_) forecast_->add_evaluation(timer.seconds());
  if (leader()) {
    metrics_->log(EvalMetrics{.step = trainer_->steps_done(),
                              .loss = float(sum.loss()),
                              .perplexity = sum.perplexity(),
                              .bits_per_byte = bytes > 0 ? bits / bytes : kNoJoules});
    progress_->clear();
    log_info("step {}: held-out loss {:.4f}, perplexity {:.2f}{}", trainer_->steps_done(), sum.loss(), sum.perplexity(),
             bytes > 0 && std::isfinite(bits) ? fmt::format(", {:.3f} bits per byte", bits / bytes) : "");
  }
}

void Loop::save(bool must_succeed) {
  PhaseTimer timer(run_.ledger, "checkpoint", run_.meter, run_.comm);
  CheckpointInfo info;
  trainer_->describe(info);
  const double joules = run_.meter.total(run_.comm);
  info.joules = std::isfinite(joules) ? earlier_joules_ + joules : -1;
  info.config_toml = config_.to_toml();
  info.tokenizer_hash = train_files_.front()->tokenizer_hash();
  try {
    checkpoint_ = save_checkpoint({.folder = config_.get<std::string>("checkpoint.dir"),
                                   .keep_latest_k = config_.get<int>("checkpoint.keep_latest_k"),
                                   .keep_every = config_.get<int64_t>("checkpoint.keep_every"),
                                   .lease = run_.lease},
                                  info, trainer_->slices(), run_.comm);
    saved_step_ = trainer_->steps_done();
  } catch (const Error& e) {
    const bool disk = e.code() == ExitCode::io || e.code() == ExitCode::cannot_create;
    if (must_succeed || !disk) throw;
    if (leader()) {
      progress_->clear();
      log_warning("the checkpoint of step {} was not saved: {}. Training goes on; the next one is tried at its time",
                  trainer_->steps_done(), e.what());
    }
  }
  timer.stop(0);
  take_out(timer);
  if (forecast_) forecast_->add_checkpoint(timer.seconds());
  if (!leader() || saved_step_ != trainer_->steps_done()) return;
  if (run_.ledger) {
    run_.ledger->mark(saved_step_);
    run_.ledger->save();
  }
  metrics_->flush();
  write_record(nullptr);
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
                           {"start_to_first_step_seconds", nullptr},
                           {"exchange", nullptr},
                           {"flops_per_token", flops_per_token_},
                           {"arena_bytes", trainer_->plan().bytes()},
                           {"command", run_.command}};
  const auto number = [](double v) { return std::isfinite(v) ? nlohmann::json(v) : nlohmann::json(nullptr); };
  const auto known = [&](auto&& of) { return predicted_ ? number(of(*predicted_)) : nlohmann::json(nullptr); };
  // From `predicted_after_step` to the end of training, evaluations and checkpoints included.
  record["time"] = {{"predicted_seconds", known([](const Predicted& p) { return p.rest.seconds; })},
                    {"predicted_after_step", predicted_ ? nlohmann::json(predicted_->step) : nullptr},
                    {"measured_seconds", number(took_seconds_)}};
  record["energy"] = {{"kind", name_of(run_.meter.kind())},
                      {"predicted_joules", known([](const Predicted& p) { return p.rest.known_joules(); })},
                      {"measured_joules", number(took_joules_)}};
  if (std::isfinite(first_step_seconds_)) record["start_to_first_step_seconds"] = first_step_seconds_;
  if (exchange) record["exchange"] = {{"exact_seconds", exchange->exact}, {"off_seconds", exchange->off}};
  write_file_atomically(run_.folder / "train.json", record.dump(2) + "\n");
}

TrainingOutcome Loop::finish() {
  const int64_t save_every = config_.get<int64_t>("checkpoint.interval"), eval_every = config_.get<int64_t>("eval.interval");
  TrainingOutcome outcome{.step = trainer_->steps_done(), .steps = steps_, .checkpoint = checkpoint_};
  if (trainer_->steps_done() >= steps_) {
    if (leader()) log_info("training is complete: {} of {} steps are done", trainer_->steps_done(), steps_);
    return outcome;
  }
  if (leader() && run_.ledger) run_.ledger->start("train");
  if (leader() && forecast_->known())
    log_info("by earlier starts of this run, the other {} steps take {}", steps_ - trainer_->steps_done(),
             say(forecast_->rest(trainer_->steps_done())));
  joules_mark_ = run_.meter.total(run_.comm);
  clock_mark_ = now_seconds();
  Boundary now = meet();
  while (!now.stop() && trainer_->steps_done() < steps_) {
    const StepResult r = trainer_->step();
    const bool last = r.step == steps_;
    window_seconds_ += r.seconds;
    window_wait_ += r.sync_wait_seconds;
    window_tokens_ += r.tokens;
    train_seconds_ += r.seconds;
    outcome.loss = r.loss;
    if (r.step == start_step_ + 1) report_first_step();
    if (r.verdict != StepVerdict::take && leader()) {
      progress_->clear();
      log_warning("step {} was left out: loss {}, gradient norm {} {}", r.step, r.loss, r.grad_norm,
                  r.verdict == StepVerdict::not_finite ? "not finite" : "far above the usual");
    }
    now = meet();
    const bool stop = now.stop();
    end_stretch(last || stop);
    if (r.step % log_interval_ == 0 || last || stop) log_step(r);
    predict();
    if (leader() && run_.on_step) run_.on_step(r.step, steps_);
    if (last || (eval_every > 0 && r.step % eval_every == 0 && !stop)) evaluate();
    if (last || stop || (save_every > 0 && r.step % save_every == 0)) save(last || stop);
  }
  if (leader()) progress_->finish();
  outcome.step = trainer_->steps_done();
  outcome.checkpoint = checkpoint_;
  if (outcome.step < steps_ && now.budget) {
    outcome.code = ExitCode::budget;
    if (leader()) say_what_is_missing(outcome);
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
  const double joules = run_.meter.total(run_.comm);
  if (predicted_) {
    took_seconds_ = now_seconds() - predicted_->clock;
    took_joules_ = joules - predicted_->joules;
    const double share = took_seconds_ / predicted_->rest.seconds - 1;
    log_info("predicted after step {}: {}; it took {}{} ({:+.1f} % time)", predicted_->step, say(predicted_->rest),
             human_seconds(took_seconds_), std::isfinite(took_joules_) ? ", " + human_joules(took_joules_) : "", 100 * share);
  }
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

void Loop::say_what_is_missing(TrainingOutcome& outcome) const {
  if (run_.ledger) run_.ledger->save();
  PhaseTotals whole = run_.ledger->total();
  outcome.reason = fmt::format("budget reached: {} are used, and the next step with a checkpoint would pass it; {} at step {} of {}",
                               describe_use(run_.budget, *run_.ledger, whole), saved_step_ == outcome.step ? "saved" : "nothing to save",
                               outcome.step, steps_);
  log_info("{}", outcome.reason);
  if (!forecast_->known()) {
    log_info("no step was done in this run: what is needed to go on is not known");
    return;
  }
  const PhaseTotals rest = forecast_->rest(outcome.step);
  whole += rest;
  outcome.enough = raised(run_.budget, *run_.ledger, whole);
  log_info("a step takes {}; the other {} steps, evaluations and checkpoints would take {} more", say(forecast_->a_step()),
           steps_ - outcome.step, say(rest));
}

}  // namespace

TrainingOutcome train(const TrainingRun& run) { return Loop(run).finish(); }

}  // namespace tw
