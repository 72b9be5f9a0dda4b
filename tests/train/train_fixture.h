// A small training run on made-up tokens, the same whatever ranks and threads it is spread over.
#pragma once
#include <filesystem>
#include <string>

#include "src/train/trainer.h"

namespace tw {

struct TrainCase {
  Architecture type = Architecture::llama;
  DType dtype = DType::fp32;
  int virtual_ranks = 8;
  Determinism determinism = Determinism::elastic;
  int64_t bucket_bytes = 16 << 10;  // several buckets for so small a model
  int64_t global_batch_size = 16;
  double lr = 3e-3;
  Packing packing = {};
  std::shared_ptr<const Batches> batches = nullptr;  // made_up_batches()
};

// Token file of `tokens` ids in [0, 37) that follow a rule a model can learn; made once a process.
std::shared_ptr<const Batches> made_up_batches();
// Two such files in stages that change within steps 9 and 17 of 16 samples; token 36 ends documents of some 10 tokens.
std::shared_ptr<const Batches> blended_batches();
TrainerOptions train_options(const TrainCase& c);
// Random frozen weights for adapters, in the base folder of a folder of checkpoints. Returns their hash (checkpoint/base.h).
std::string save_random_base(const std::filesystem::path& checkpoints, const ModelConfig& model, uint64_t seed);
// SHA-256 of all that is trained (padding left out), the same on every rank.
std::string weights_hash(const Trainer& trainer);
// SHA-256 of all that a checkpoint holds of the parameters: weights and optimiser state.
std::string state_hash(const Checkpoint& checkpoint);

}  // namespace tw
