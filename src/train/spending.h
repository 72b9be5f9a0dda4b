// Time and joules of a training under way: what goes to the ledger's phase "train", whether a budget has room for the
// next step, and what the rest will take.
#pragma once
#include <optional>
#include <string>

#include "src/train/forecast.h"
#include "src/train/training_run.h"

namespace tw {

class Spending {
 public:
  Spending(const TrainingRun& run, const ForecastPlan& plan);

  // A boundary between steps: what the ranks have to tell each other goes through one exchange, so that all decide alike.
  struct Boundary {
    bool signal = false, budget = false;
    bool saving = false;    // a rank's writer is still at work
    bool save_due = false;  // rank 0 says so
    bool stop() const { return signal || budget; }
  };
  void begin();                    // before the first boundary; collective
  // step = done so far; saving, save_due: this rank's part of the answer. Collective.
  Boundary meet(int64_t step, bool saving, bool save_due);
  void end_step(bool last);        // behind meet(). last: what is not known by now stays unknown
  void evaluated(const PhaseTimer& timer);  // their time is not that of steps
  void saved(const PhaseTimer& timer);
  void snapshot_taken(const PhaseTimer& timer);

  // Time that no other phase took, and its joules, since the last call: for the ledger.
  struct Stretch { double seconds = 0, joules = 0; };
  Stretch take();
  double joules() const noexcept { return joules_; }  // of all ranks in this start, as of the last boundary

  // The rest, told once some steps are measured, and what it took then.
  struct Prediction {
    int64_t step = 0;
    PhaseTotals rest;
    double took_seconds = kNoJoules, took_joules = kNoJoules;
  };
  const std::optional<Prediction>& prediction() const noexcept { return prediction_; }
  const Forecast& forecast() const noexcept { return forecast_; }

  // Sentences for people, "" = nothing to say. Rank 0.
  std::string before(int64_t step) const;  // before the first step of this start
  std::string predict(int64_t step);
  std::string compare() const;             // behind finish()
  void finish();  // Collective: training is over
  // At a budget: reason and `enough` of the outcome; the sentence says what is missing.
  std::string stopped(TrainingOutcome& outcome, bool saved) const;

  // Where no step is known yet: what one will take, about.
  void guess_step(double seconds, double joules) { forecast_.guess_step(seconds, joules); }

 private:
  Allowance allowance_now(int64_t step) const;
  void take_out(const PhaseTimer& timer);
  std::string text_of(const PhaseTotals& amount) const;

  const TrainingRun& run_;
  int64_t steps_;
  Forecast forecast_;
  Tensor told_{{6}, DType::fp64};
  double joules_ = kNoJoules;
  // A stretch goes from a boundary to the next. Where the meter cannot be read for a moment the stretch goes on, and its
  // joules are known when it is back.
  double clock_mark_ = 0, joules_mark_ = 0;
  int64_t stretch_steps_ = 0;
  double unread_since_ = kNoJoules;  // the meter, by the clock
  Stretch ended_;                    // stretches that were not taken yet
  std::optional<Prediction> prediction_;
  double predicted_clock_ = 0, predicted_joules_ = 0;
};

}  // namespace tw
