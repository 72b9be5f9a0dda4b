#include "src/train/forecast.h"

#include <algorithm>

namespace tw {
namespace {
constexpr double kGuessedDisk = 100e6;  // bytes a second that reach a disk, read back and verified
constexpr double kGuessedCopy = 4e9;   // bytes a second of a snapshot
constexpr int64_t kWarmSteps = 3;

// Multiples of `every` in (step, last).
int64_t times(int64_t every, int64_t step, int64_t last) {
  return every > 0 && last > step ? (last - 1) / every - step / every : 0;
}
}  // namespace

Forecast::Forecast(const ForecastPlan& plan, const PhaseLedger* ledger) : plan_(plan) {
  if (!ledger) return;
  nodes_ = ledger->nodes();
  const auto phase = [&](const char* name) {
    const auto found = ledger->phases().find(name);
    return found == ledger->phases().end() ? PhaseTotals{} : found->second;
  };
  const PhaseTotals useful = ledger->useful(), saved = phase("checkpoint"), evaluated = phase("eval");
  // Joules of what had no meter are not known: as if there were none.
  if (ledger->last_step() > 0)
    earlier_steps_ = {ledger->last_step(), useful.seconds, useful.known_joules()};
  // Snapshots are among them, which tell nothing of a whole save.
  if (!plan_.saves_in_background) earlier_checkpoints_ = {saved.starts, saved.seconds, 0};
  earlier_evaluations_ = {evaluated.starts, evaluated.seconds, 0};
}

void Forecast::add_steps(int64_t count, double seconds, double joules) {
  if (first_) {
    first_ = false;
    if (earlier_steps_.count == 0 || guessed_) earlier_steps_ = {count, seconds, joules};  // better than a guess
    return;
  }
  steps_.add(seconds, joules, count);
}

void Forecast::guess_step(double seconds, double joules) {
  if (known()) return;
  earlier_steps_ = {1, seconds, joules};
  guessed_ = true;
}

bool Forecast::known() const { return steps_.count + earlier_steps_.count > 0; }

bool Forecast::warm() const {
  return steps_.count >= kWarmSteps && (steps_.seconds >= 2 || steps_.count * 20 >= plan_.steps - plan_.start_step);
}

double Forecast::step_seconds() const { return (steps_.count >= kWarmSteps ? steps_ : earlier_steps_).mean(); }

double Forecast::evaluation_seconds() const {
  if (!plan_.evaluates) return 0;
  if (evaluations_.count > 0) return evaluations_.mean();
  if (earlier_evaluations_.count > 0) return earlier_evaluations_.mean();
  return plan_.steps_an_evaluation * step_seconds() / 3;
}

double Forecast::checkpoint_seconds() const {
  if (checkpoints_.count > 0) return checkpoints_.mean();
  if (earlier_checkpoints_.count > 0) return earlier_checkpoints_.mean();
  return plan_.checkpoint_bytes / kGuessedDisk;
}

double Forecast::snapshot_seconds() const {
  if (!plan_.saves_in_background) return checkpoint_seconds();
  return snapshots_.count > 0 ? snapshots_.mean() : plan_.checkpoint_bytes / kGuessedCopy;
}

PhaseTotals Forecast::of(double seconds) const {
  // One power for all: counters that move every few seconds would put a whole move on one short checkpoint.
  const Measured& measured = steps_.count >= kWarmSteps ? steps_ : earlier_steps_;
  const double joules = measured.seconds > 0 ? measured.joules / measured.seconds * seconds : 0;
  const bool known_power = joules >= 0;  // not NaN
  return {seconds, known_power ? joules : 0, known_power ? 0 : seconds, 0, 0, seconds * nodes_};
}

PhaseTotals Forecast::a_step() const { return of(step_seconds()); }

PhaseTotals Forecast::next(int64_t step) const {
  const int64_t then = step + 1;
  const bool evaluation = then >= plan_.steps || (plan_.eval_every > 0 && then % plan_.eval_every == 0);
  return of(step_seconds() + (evaluation ? evaluation_seconds() : 0) + checkpoint_seconds());
}

PhaseTotals Forecast::rest(int64_t step) const {
  if (step >= plan_.steps) return {};
  return of(double(plan_.steps - step) * step_seconds() +
            double(times(plan_.eval_every, step, plan_.steps) + 1) * evaluation_seconds() +
            double(times(plan_.save_every, step, plan_.steps)) * snapshot_seconds() + checkpoint_seconds());
}

}  // namespace tw
