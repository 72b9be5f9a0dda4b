#include "src/train/spending.h"

#include <cmath>
#include <utility>

#include "src/core/clock.h"
#include "src/core/format.h"
#include "src/core/signals.h"

namespace tw {

Spending::Spending(const TrainingRun& run, const ForecastPlan& plan) : run_(run), steps_(plan.steps), forecast_(plan, run.ledger) {}

void Spending::begin() {
  joules_ = joules_mark_ = run_.meter.total(run_.comm);
  clock_mark_ = now_seconds();
}

Spending::Boundary Spending::meet(int64_t step, bool saving, bool save_due) {
  // Ranks that keep no ledger add nothing to what rank 0 says.
  const Allowance allowed = run_.comm.rank() == 0 ? allowance_now(step) : Allowance{true, 0};
  double* told = told_.as<double>();
  told[0] = stop_signal() != 0;
  told[1] = run_.meter.joules();
  told[2] = !allowed.time;
  told[3] = allowed.joules;
  told[4] = saving;
  told[5] = save_due && run_.comm.rank() == 0;
  run_.comm.all_reduce(told_.view(), ReduceOp::sum, run_.stream);
  joules_ = told[1];
  // NaN: unknown for the moment, and no reason to stop.
  return {.signal = told[0] > 0, .budget = told[2] > 0 || told[1] > told[3], .saving = told[4] > 0, .save_due = told[5] > 0};
}

// joules: what the job's meter may show now.
Allowance Spending::allowance_now(int64_t step) const {
  if (!run_.budget.any()) return {};
  constexpr double kPatience = 60;  // seconds without a meter: what cannot be counted is not gone on with
  PhaseTotals used = run_.ledger->total();
  const double open = ended_.seconds + now_seconds() - clock_mark_;
  used.seconds += open;
  used.node_seconds += open * run_.ledger->nodes();
  Allowance allowed = allowance(run_.budget, run_.ledger->options(), used, forecast_.next(step));
  allowed.joules -= used.joules + ended_.joules - joules_mark_;
  if (run_.budget.wants_joules(run_.ledger->options()) && now_seconds() - unread_since_ > kPatience) allowed.time = false;
  return allowed;
}

void Spending::end_step(bool last) {
  const double clock = now_seconds();
  const bool read = std::isfinite(joules_), meter = run_.meter.kind() != EnergyKind::none;
  if (read || !meter)
    unread_since_ = kNoJoules;
  else if (std::isnan(unread_since_))
    unread_since_ = clock;
  ++stretch_steps_;
  if (meter && !read && !last) return;
  forecast_.add_steps(stretch_steps_, clock - clock_mark_, joules_ - joules_mark_);
  stretch_steps_ = 0;
  ended_.seconds += clock - clock_mark_;
  ended_.joules += joules_ - joules_mark_;
  clock_mark_ = clock;
  if (read) joules_mark_ = joules_;
}

void Spending::take_out(const PhaseTimer& timer) {
  clock_mark_ += timer.seconds();
  if (std::isfinite(timer.joules())) joules_mark_ += timer.joules();
}

void Spending::evaluated(const PhaseTimer& timer) {
  take_out(timer);
  forecast_.add_evaluation(timer.seconds());
}

void Spending::saved(const PhaseTimer& timer) {
  take_out(timer);
  forecast_.add_checkpoint(timer.seconds());
}

void Spending::snapshot_taken(const PhaseTimer& timer) {
  take_out(timer);
  forecast_.add_snapshot(timer.seconds());
}

Spending::Stretch Spending::take() { return std::exchange(ended_, {}); }

// "3 min 20 s, 4.1 kJ, 0.002 EUR", as far as it is known.
std::string Spending::text_of(const PhaseTotals& amount) const {
  std::string text = human_seconds(amount.seconds);
  if (const double joules = amount.known_joules(); run_.meter.kind() != EnergyKind::none && std::isfinite(joules))
    text += ", " + human_joules(joules) + (run_.meter.kind() == EnergyKind::assumed ? " (assumed)" : "");
  if (!run_.ledger) return text;
  if (const double eur = run_.ledger->eur(amount); std::isfinite(eur)) text += fmt::format(", {:.3g} EUR", eur);
  return text;
}

std::string Spending::before(int64_t step) const {
  if (!forecast_.known()) return "";
  return fmt::format("predicted before the first step{}: about {} for {} steps",
                     run_.ledger && run_.ledger->last_step() > 0 ? ", by earlier starts" : "", text_of(forecast_.rest(step)),
                     steps_ - step);
}

std::string Spending::predict(int64_t step) {
  if (prediction_ || step >= steps_ || !forecast_.warm()) return "";
  prediction_ = {.step = step, .rest = forecast_.rest(step)};
  predicted_clock_ = now_seconds(), predicted_joules_ = joules_;
  return fmt::format("predicted after step {}: {} for the other {} steps", step, text_of(prediction_->rest), steps_ - step);
}

void Spending::finish() {
  const double joules = run_.meter.total(run_.comm);
  if (!prediction_) return;
  prediction_->took_seconds = now_seconds() - predicted_clock_;
  prediction_->took_joules = joules - predicted_joules_;
}

std::string Spending::compare() const {
  if (!prediction_) return "";
  const Prediction& p = *prediction_;
  const bool joules = std::isfinite(p.took_joules);
  PhaseTotals took = {p.took_seconds, joules ? p.took_joules : 0, joules ? 0 : p.took_seconds, 0, 0,
                      p.took_seconds * (run_.ledger ? run_.ledger->nodes() : 1)};
  return fmt::format("from step {} on: predicted {}, measured {} ({:+.1f} % of time)", p.step, text_of(p.rest), text_of(took),
                     100 * (p.took_seconds / p.rest.seconds - 1));
}

std::string Spending::stopped(TrainingOutcome& outcome, bool saved) const {
  PhaseTotals whole = run_.ledger->total();
  const char* more = "";
  if (now_seconds() - unread_since_ > 1)
    more = ", and the meter cannot be read";
  else if (raised(run_.budget, *run_.ledger, whole) == run_.budget)
    more = ", and the next step with a checkpoint would pass it";
  outcome.reason = fmt::format("budget reached: {} are used{}; {} at step {} of {}", describe_use(run_.budget, *run_.ledger, whole), more,
                               saved ? "saved" : "nothing was saved yet", outcome.step, steps_);
  if (!forecast_.known()) return "what is needed to go on is not known: no step was done";
  const PhaseTotals rest = forecast_.rest(outcome.step);
  whole += rest;
  outcome.enough = raised(run_.budget, *run_.ledger, whole);
  return fmt::format("a step takes {}; the other {} steps with evaluations and checkpoints would take {} more",
                     text_of(forecast_.a_step()), steps_ - outcome.step, text_of(rest));
}

}  // namespace tw
