// A whole training run: start weights or resume, steps, evaluation, metrics, checkpoints, a clean stop on a signal.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/checkpoint/lease.h"
#include "src/meter/budget.h"
#include "src/meter/energy.h"
#include "src/meter/phases.h"
#include "src/train/training_options.h"

namespace tw {

class MetricsServer;

// Weights to start from that are no checkpoint of this run.
struct StartWeights {
  GivenModel given;
  std::shared_ptr<const Tensor> weights;  // flat, fp32 (nn/parameters.h)
};

struct TrainingRun {
  Config& config;  // values left open are resolved in place
  Communicator& comm;
  Stream stream;
  std::filesystem::path folder;    // metrics, train.json, config.toml; checkpoints where checkpoint.dir is empty
  const RunLease* lease = nullptr; // rank 0
  const EnergyMeter& meter;
  PhaseLedger* ledger = nullptr;   // rank 0; a budget wants one
  Budget budget = {};              // of all phases in the ledger, and of all starts; countable (check_countable)
  int threads = 1;                 // of the stream, for the record
  std::string command;             // how it was started, for the record
  MetricsServer* metrics_server = nullptr;  // rank 0, where there is one
  bool show_progress = true;
  // Called where there is no checkpoint to resume, with the number of ids that the token files may hold; empty = from training.seed.
  std::function<StartWeights(int64_t vocab)> start;
  // Rank 0, after each step and once before the first.
  std::function<void(int64_t step, int64_t steps)> on_step;
};

struct TrainingOutcome {
  ExitCode code = ExitCode::ok;  // or requeue: saved on a signal; or budget
  std::string reason;
  int64_t step = 0, steps = 0;
  float loss = 0;                // of the last step taken here; 0 = none
  std::filesystem::path checkpoint;
  Budget enough;                 // rank 0, with code budget: about what the whole training would take; 0 = not known
};

// Collective. Error(config), Error(data), Error(no_input), Error(numerics), Error(fenced), and Error(io) where the last
// checkpoint cannot be written; one on the way that fails (disk full) is named and training goes on.
TrainingOutcome train(const TrainingRun& run);

}  // namespace tw
