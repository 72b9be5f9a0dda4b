// What a trainer needs to do real steps of a configured model, on the configured data or on random tokens.
#pragma once
#include <memory>
#include <vector>

#include "src/train/trainer.h"
#include "src/train/training_options.h"

namespace tw {

struct PreparedTraining {
  TrainerOptions options;
  TrainingData data;
  std::vector<std::shared_ptr<const TokenFile>> files;
  int64_t configured_micro_batches = 1;  // of a rank in a step of training
  bool random_tokens = true;             // no data.train was named
};
// Collective. Values left open in `config` are resolved in place. steps: that will be done. whole: a step has as many micro
// batches as configured; else one a rank.
// Error(config) as train gives, and where the node's memory cannot hold the model.
PreparedTraining prepare_training(Config& config, Communicator& comm, const Stream& stream, int64_t steps, bool whole);

}  // namespace tw
