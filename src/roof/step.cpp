#include "src/roof/step.h"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <optional>
#include <vector>

#include <unistd.h>

#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/rng.h"
#include "src/core/thread_team.h"
#include "src/meter/flops.h"
#include "src/machine/kernel_files.h"
#include "src/roof/watched_communicator.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

using Files = std::vector<std::shared_ptr<const TokenFile>>;

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

Files open_data(const Config& config) {
  Files files;
  for (const std::string& path : config.get<std::vector<std::string>>("data.train"))
    files.push_back(TokenFile::open(path, config.get<int>("data.raw_bits")));
  return files;
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
  return plan.bytes();
}

}  // namespace

StepReport measure_step(Config& config, Communicator& comm, const Stream& stream, const StepOptions& options) {
  TW_CHECK(options.steps >= 1 && options.steps <= 10000, config, "{} steps cannot be measured: 1 to 10000", options.steps);
  StepReport report;
  Files files = open_data(config);
  report.random_tokens = files.empty();
  int64_t vocab = 0;
  for (const auto& f : files) vocab = std::max(vocab, f->vocab_size());
  if (files.empty()) vocab = config.get<int64_t>(config.get<int64_t>("model.vocab_size") > 0 ? "model.vocab_size" : "tokenizer.vocab_size");
  report.model = resolve_model(config, vocab, std::nullopt);

  // How a step of training is divided, and how one here.
  Config asked = config;
  const TrainerOptions training = resolve_trainer(asked, report.model, comm.size(), std::nullopt, stream.device());
  report.configured_micro_batches = training.accumulation() * (training.virtual_ranks / comm.size());
  if (options.whole) {
    config = asked;
  } else {
    config.set("parallelism.virtual_ranks", int64_t(std::bit_ceil(unsigned(comm.size()))), "bench");
    config.set("training.global_batch_size", config.get<int64_t>("training.micro_batch_size") * comm.size(), "bench");
  }
  TrainerOptions trainer_options = resolve_trainer(config, report.model, comm.size(), std::nullopt, stream.device());

  const double needed = double(arena_bytes(trainer_options, comm, stream.device())) * comm.node_size(), there = read_memory().usable();
  TW_CHECK(needed <= there || stream.device().is_cuda(), config,
           "the model needs {} on this node ({} ranks), and {} are free: lower training.micro_batch_size, training.seq_len or the "
           "model's size, or use more nodes",
           human_bytes(needed), comm.node_size(), human_bytes(there));

  const int64_t samples = trainer_options.global_batch_size * (options.steps + 2);
  if (files.empty()) {
    if (config.get<bool>("data.reset_attention_mask") || config.get<bool>("data.reset_position_ids") || config.get<bool>("data.eod_mask_loss"))
      if (config.get<int>("data.eod_id") < 0) config.set("data.eod_id", int64_t(0), "bench");
    constexpr int64_t kMost = int64_t(1) << 24;  // samples repeat then
    files.push_back(random_tokens(report.model.vocab_size, std::min(kMost, samples * trainer_options.seq_len) + trainer_options.seq_len + 1));
  }
  // The length of the run sets the learning rates alone.
  if (config.get<int64_t>("training.steps") == 0 && config.get<double>("training.epochs") == 0 &&
      config.get<int64_t>("training.max_tokens") == 0)
    config.set("training.steps", int64_t(options.steps + 2), "bench");
  trainer_options.packing = resolve_packing(config, report.model.type, files);
  const TrainingData data = resolve_data(config, files, report.model.vocab_size, trainer_options.global_batch_size);
  trainer_options.schedule.steps = std::max<int64_t>(data.steps, options.steps + 2);

  OpTimes times(options.roof);
  WatchedCommunicator watched(comm, times);
  Trainer trainer(trainer_options, data.batches, options.plain ? comm : static_cast<Communicator&>(watched),
                  options.plain ? stream : stream.watched_by(&times));
  trainer.initialize(config.get<uint64_t>("training.seed"));
  const int unmeasured = options.plain ? 2 : 1;
  double joules = 0;
  for (int step = 0; step < unmeasured + options.steps; ++step) {
    comm.barrier();
    if (step == unmeasured && options.joules) joules = options.joules();
    const double start = now_seconds();
    if (step >= unmeasured) times.begin_step();
    trainer.step();
    synchronize(stream);
    if (step >= unmeasured) times.end_step(now_seconds() - start);
    if (options.on_step) options.on_step(step);
  }
  if (options.joules) joules = options.joules() - joules;

  const ParameterTable& table = trainer.table();
  report.dtype = trainer_options.dtype;
  report.parameters = table.parameter_count();
  report.seq_len = trainer_options.seq_len;
  report.micro_batch_size = trainer_options.micro_batch_size;
  report.micro_batches = trainer_options.accumulation() * (trainer_options.virtual_ranks / comm.size());
  report.tokens = trainer_options.global_batch_size * trainer_options.seq_len;
  if (options.joules && joules > 0) report.joules_per_token = joules / (double(options.steps) * double(report.tokens) / comm.size());
  report.ranks = comm.size(), report.threads = stream.team().size();
  report.arena_bytes = double(trainer.plan().bytes());
  report.flops_per_token = flops_per_token({.parameters = table.parameter_count(),
                                            .input_embedding = table["tokens.weight"].count(),
                                            .tied = report.model.tie_word_embeddings,
                                            .layers = report.model.num_hidden_layers,
                                            .attention_size = report.model.attention_size(),
                                            .seq_len = trainer_options.seq_len});
  report.times = times.times();
  return report;
}

}  // namespace tw
