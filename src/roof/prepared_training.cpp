#include "src/roof/prepared_training.h"

#include <algorithm>
#include <bit>
#include <filesystem>

#include <unistd.h>

#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/rng.h"
#include "src/machine/kernel_files.h"
#include "src/nn/transformer.h"
#include "src/train/grad_sync.h"
#include "src/train/integrity.h"
#include "src/train/sharded_adamw.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

// Tokens below `vocab`, the same on every rank, in a file that is gone from its folder when this returns: what is mapped
// stays.
std::shared_ptr<const TokenFile> random_tokens(int64_t vocab, int64_t count) {
  const Rng rng{.seed = 1, .stream = RngStream::test, .a = 0};
  std::vector<uint32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = uint32_t(uint64_t(rng.bits(i)) * uint64_t(vocab) >> 32);
  std::string name = (fs::temp_directory_path() / "tokenwerk-tokens-XXXXXX").string();
  const FileDescriptor fd(::mkstemp(name.data()));
  TW_CHECK(fd, cannot_create, "{}: a file of random tokens cannot be made; TMPDIR names another folder", name);
  struct Removed {
    const std::string& name;
    ~Removed() { ::unlink(name.c_str()); }
  } const removed{name};
  write_exactly(fd.get(), ids.data(), ids.size() * sizeof(uint32_t), 0, name);
  return TokenFile::open(name, 32);
}

// What the trainer will lay out, without allocating it.
size_t arena_bytes(const TrainerOptions& o, Communicator& comm, Device device) {
  const ParameterTable table(o.model);
  const ShardLayout layout(table.flat_count(), o.bucket_bytes / int64_t(sizeof(float)), o.virtual_ranks, comm.rank(), comm.size());
  ArenaPlan plan;
  const Transformer model(o.model, {.batch = o.micro_batch_size, .seq_len = o.seq_len, .dtype = o.dtype, .training = true, .checkpointing = o.checkpointing,
                                    .logits_at_once = logits_for(device)}, plan);
  ShardedAdamW(comm, table, layout, o.dtype, o.optimizer).plan(plan);
  GradSync(comm, layout, o.determinism).plan(plan);
  Integrity(o.integrity, comm, table, layout, o.dtype != DType::fp32, o.determinism != Determinism::off).plan(plan);
  return plan.bytes();
}

}  // namespace

PreparedTraining prepare_training(Config& config, Communicator& comm, const Stream& stream, int64_t steps, bool whole) {
  TW_CHECK(config.get<int64_t>("lora.rank") == 0, config, "{}: bench measures the training of all weights: leave lora.rank out", config.origin("lora.rank"));
  PreparedTraining p;
  auto& files = p.files;
  files = open_token_files(config, "data.train");
  p.random_tokens = files.empty();
  int64_t vocab = largest_vocab(files);
  if (files.empty()) vocab = config.get<int64_t>(config.get<int64_t>("model.vocab_size") > 0 ? "model.vocab_size" : "tokenizer.vocab_size");
  p.options.model = resolve_model(config, vocab, std::nullopt);

  // How a step of training is divided, and how one here.
  Config asked = config;
  const TrainerOptions training = resolve_trainer(asked, p.options.model, comm.size(), std::nullopt, stream.device());
  p.configured_micro_batches = training.accumulation() * (training.virtual_ranks / comm.size());
  if (whole) {
    config = asked;
  } else {
    config.set("parallelism.virtual_ranks", int64_t(std::bit_ceil(unsigned(comm.size()))), "bench");
    config.set("training.global_batch_size", config.get<int64_t>("training.micro_batch_size") * comm.size(), "bench");
  }
  p.options = resolve_trainer(config, p.options.model, comm.size(), std::nullopt, stream.device());

  const double needed = double(arena_bytes(p.options, comm, stream.device())) * comm.node_size(), there = read_memory().usable();
  TW_CHECK(needed <= there || stream.device().is_cuda(), config,
           "the model needs {} on this node ({} ranks), and {} are free: lower training.micro_batch_size, training.seq_len or the "
           "model's size, or use more nodes",
           human_bytes(needed), comm.node_size(), human_bytes(there));

  const int64_t samples = p.options.global_batch_size * steps;
  if (files.empty()) {
    if (config.get<bool>("data.reset_attention_mask") || config.get<bool>("data.reset_position_ids") || config.get<bool>("data.eod_mask_loss"))
      if (config.get<int>("data.eod_id") < 0) config.set("data.eod_id", int64_t(0), "bench");
    constexpr int64_t kMost = int64_t(1) << 24;  // samples repeat then
    files.push_back(random_tokens(p.options.model.vocab_size, std::min(kMost, samples * p.options.seq_len) + p.options.seq_len + 1));
  }
  // The length of the run sets the learning rates alone.
  if (config.get<int64_t>("training.steps") == 0 && config.get<double>("training.epochs") == 0 &&
      config.get<int64_t>("training.max_tokens") == 0)
    config.set("training.steps", steps, "bench");
  p.options.packing = resolve_packing(config, p.options.model.type, files);
  p.data = resolve_data(config, files, p.options.model.vocab_size, p.options.global_batch_size);
  p.options.schedule.steps = std::max(p.data.steps, steps);
  return p;
}

}  // namespace tw
