// Real training steps of a configured model, each op watched.
#pragma once
#include <functional>

#include "src/roof/op_times.h"
#include "src/train/training_options.h"

namespace tw {

struct StepOptions {
  int steps = 5;              // measured, behind one that does not count (two with plain)
  bool plain = false;         // whole steps alone, as training runs them: no op is timed
  bool whole = false;         // as many micro batches a step as configured; else one a rank, which is enough to see where
                              // the time goes
  const Roof* roof = nullptr; // floors; null = none
  std::function<double()> joules;         // of this rank so far; empty = not known
  std::function<void(int done)> on_step;  // after each, the first included; may throw
};

struct StepReport {
  ModelConfig model;
  DType dtype = DType::fp32;
  int64_t parameters = 0;
  int64_t seq_len = 0, micro_batch_size = 0, micro_batches = 1;  // of a rank in a step
  int64_t configured_micro_batches = 1;                          // of a rank in a step of training
  int64_t tokens = 0;            // a step, all ranks
  int ranks = 1, threads = 1;
  double arena_bytes = 0;        // of a rank
  double flops_per_token = 0;    // of the model (meter/flops.h), which leaves out what is computed twice
  bool random_tokens = true;     // no data.train was named
  double joules_per_token = 0;   // this rank's joules over its share of the tokens; 0 = not known
  StepTimes times;               // of this rank
  double tokens_per_second() const { return double(tokens) / times.step.median; }
};

// Collective. Values left open in `config` are resolved in place. Without data.train random tokens are trained on.
// Error(config) as train gives, and where a rank's memory cannot hold the model.
StepReport measure_step(Config& config, Communicator& comm, const Stream& stream, const StepOptions& options);

}  // namespace tw
