#include "tests/train/train_fixture.h"

#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <vector>

#include "comm/self.h"
#include "src/checkpoint/base.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/core/rng.h"
#include "tests/nn/small_model.h"

namespace tw {

namespace {

std::shared_ptr<const TokenFile> made_up_file(size_t tokens, uint32_t factor) {
  const auto path = std::filesystem::temp_directory_path() / ("tw-train-" + std::to_string(getpid()) + ".u16");
  const Rng rng{11, RngStream::test, 0, 0};
  std::vector<uint16_t> ids(tokens);
  uint32_t state = 1;
  for (size_t i = 0; i < ids.size(); ++i) {
    state = rng.bits(i) % 10 == 0 ? rng.bits(i + 100000) % 37 : (factor * state + 3) % 37;
    ids[i] = uint16_t(state);
  }
  write_file_atomically(path, {reinterpret_cast<const char*>(ids.data()), ids.size() * 2});
  auto file = TokenFile::open(path, 16);
  std::filesystem::remove(path);  // the mapping keeps it
  return file;
}

}  // namespace

std::shared_ptr<const Batches> made_up_batches() {
  static const auto batches =
      std::make_shared<const Batches>(std::vector{made_up_file(20000, 5)}, BatchOptions{.seq_len = 12, .shuffle = true, .seed = 5});
  return batches;
}

std::shared_ptr<const Batches> blended_batches() {
  static const auto batches = std::make_shared<const Batches>(
      std::vector{made_up_file(700, 5), made_up_file(9000, 2)},
      BatchOptions{.seq_len = 12, .shuffle = true, .seed = 5,
                   .blend = {{0, {0.7, 0.3}}, {8 * 16 + 5, {1, 2}}, {16 * 16 + 3, {1, 0}}}});
  return batches;
}

TrainerOptions train_options(const TrainCase& c) {
  TrainerOptions o;
  o.model = small_config(c.type, true);
  o.dtype = c.dtype;
  o.seq_len = 12;
  o.micro_batch_size = 1;
  o.global_batch_size = c.global_batch_size;
  o.virtual_ranks = c.virtual_ranks;
  o.determinism = c.determinism;
  o.bucket_bytes = c.bucket_bytes;
  o.packing = c.packing;
  o.schedule = {.type = ScheduleType::cosine, .lr = c.lr, .min_lr_ratio = 0.1, .steps = 60, .warmup_steps = 5};
  return o;
}

std::string save_random_base(const std::filesystem::path& checkpoints, const ModelConfig& model, uint64_t seed) {
  const ParameterTable table(model);
  const Tensor weights = random_weights(model, table, seed);
  CheckpointInfo info;
  info.model_json = to_json(model).dump();
  WeightsHash hash;
  std::vector<TensorSlice> slices;
  for (const ParameterInfo& p : table.all()) {
    const ConstView values = weights.view().flat(p.offset, p.offset + p.count());
    hash.add(p.name, values), slices.push_back({p.name, "weight", p.shape, 0, p.count(), values});
  }
  const std::string name = hash.hex();
  save_checkpoint({.folder = base_folder(checkpoints, name)}, info, slices, *make_self_communicator());
  return name;
}

std::string weights_hash(const Trainer& trainer) {
  Sha256 sha;
  for (const ParameterInfo& p : trainer.table().all()) {
    const View v = trainer.weights().flat(p.offset, p.offset + p.count());
    sha.update(v.data, v.bytes());
  }
  return sha.hex();
}

std::string state_hash(const Checkpoint& checkpoint) {
  Sha256 sha;
  for (const auto& t : checkpoint.tensors()) {
    Tensor data({t.shape.count()}, DType::fp32);
    checkpoint.read(t.name, t.slot, 0, t.shape.count(), data.view());
    sha.update(data.view().data, data.view().bytes());
  }
  return sha.hex();
}

}  // namespace tw
