// What the rest of a run will take, told from what its steps, evaluations and checkpoints took so far.
#pragma once
#include <cstdint>

#include "src/meter/phases.h"

namespace tw {

struct ForecastPlan {
  int64_t start_step = 0, steps = 0;          // done before; of the whole run
  int64_t eval_every = 0, save_every = 0;     // 0 = at the end only
  bool evaluates = false;
  double steps_an_evaluation = 0;             // tokens of an evaluation / tokens of a step
  double checkpoint_bytes = 0;
  bool saves_in_background = false;           // all but the last save, of which training waits for the copy alone
};

// One process keeps it (rank 0), from its own clock and the joules of all ranks.
class Forecast {
 public:
  // ledger: of the run. What it holds of earlier starts stands in until this one has measured enough.
  Forecast(const ForecastPlan& plan, const PhaseLedger* ledger);

  // The first step of a start, which fills caches and memory, is left out. joules: NaN = unknown.
  void add_steps(int64_t count, double seconds, double joules);
  // Where no earlier start tells it: what a step takes, about.
  void guess_step(double seconds, double joules);
  void add_evaluation(double seconds) { evaluations_.add(seconds, 0); }
  void add_checkpoint(double seconds) { checkpoints_.add(seconds, 0); }
  void add_snapshot(double seconds) { snapshots_.add(seconds, 0); }

  bool known() const;  // what a step takes
  // Enough of this start was measured to be worth saying: three steps, which took two seconds or are a twentieth of it.
  bool warm() const;

  // As PhaseTotals: seconds, joules (or unmetered_seconds where the power is unknown) and node_seconds.
  PhaseTotals a_step() const;
  PhaseTotals next(int64_t step) const;  // the step behind `step`, an evaluation due then, and a checkpoint
  PhaseTotals rest(int64_t step) const;  // all that is left

 private:
  struct Measured {
    int64_t count = 0;
    double seconds = 0, joules = 0;
    void add(double s, double j, int64_t n = 1) { count += n, seconds += s, joules += j; }
    double mean() const { return count > 0 ? seconds / double(count) : 0; }
  };
  double step_seconds() const;
  double evaluation_seconds() const;  // an evaluation is forward passes alone: a third of a step's work where not measured
  double checkpoint_seconds() const;  // at kGuessedDisk where not measured
  double snapshot_seconds() const;
  PhaseTotals of(double seconds) const;

  ForecastPlan plan_;
  int nodes_ = 1;
  Measured steps_, evaluations_, checkpoints_, snapshots_;        // of this start
  Measured earlier_steps_, earlier_evaluations_, earlier_checkpoints_;
  bool first_ = true, guessed_ = false;
};

}  // namespace tw
