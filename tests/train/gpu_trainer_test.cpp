// What a training step on a GPU costs in things that can be counted, on an emulated one.
#include <gtest/gtest.h>
#include <unistd.h>

#include "comm/self.h"
#include "src/checkpoint/base.h"
#include "src/core/gpu.h"
#include "src/core/thread_team.h"
#include "tests/emulation/emulation.h"
#include "tests/train/train_fixture.h"

namespace tw {
namespace {

TEST(GpuTrainer, AllocatesNothingAndRecordsItsBatchOnce) {
  ThreadTeam team(1);
  const gpu::Queue queue(Device{DeviceKind::cuda, 0}, team);
  const auto comm = make_self_communicator();
  TrainerOptions options = train_options({.virtual_ranks = 1});
  options.micro_batch_size = 4;
  Trainer trainer(options, made_up_batches(), *comm, queue.stream());
  trainer.initialize(1);
  const int batches = int(options.global_batch_size / options.micro_batch_size);
  ASSERT_GE(batches, 3);
  trainer.step();
  trainer.step();
  const int64_t memory = allocation_count(), launches = tw_emulation::launches();
  trainer.step();
  const int64_t a_step = tw_emulation::launches() - launches;
  EXPECT_EQ(allocation_count(), memory);
  // A graph's kernels were counted when it was recorded: what is launched now is the exchange, the norm and the optimizer, whose
  // number follows from the buckets, and not the layers.
  EXPECT_LT(a_step, 10 * (int64_t(trainer.plan().bytes()) / options.bucket_bytes + 1));
  trainer.step();
  EXPECT_EQ(tw_emulation::launches() - launches, 2 * a_step) << "each step the same";
}

// Frozen weights come from a checkpoint in pieces, rounded on the host.
TEST(GpuTrainer, AdaptersLearnWhatTheyLearnOnACpu) {
  const auto folder = std::filesystem::temp_directory_path() / ("tw-gpu-adapters-" + std::to_string(::getpid()));
  for (DType dtype : {DType::fp32, DType::bf16}) {
    TrainerOptions options = train_options({.dtype = dtype, .virtual_ranks = 1, .lr = 1e-2});
    options.micro_batch_size = 4;
    options.adapters = {.rank = 3, .alpha = 6};
    const std::string base = save_random_base(folder, options.model, 1);
    std::vector<float> losses[2];
    for (const bool on_gpu : {false, true}) {
      ThreadTeam team(1);
      const gpu::Queue queue(Device{DeviceKind::cuda, 0}, team);
      const auto comm = make_self_communicator();
      Trainer trainer(options, made_up_batches(), *comm, on_gpu ? queue.stream() : Stream(team));
      trainer.load_base(Checkpoint::open(base_folder(folder, base)), base);
      trainer.initialize(1);
      for (int s = 0; s < 5; ++s) losses[on_gpu].push_back(trainer.step().loss);
      trainer.check_replicas();
      EXPECT_TRUE(trainer.integrity().alarms().empty());
    }
    EXPECT_LT(losses[0].back(), losses[0].front());
    for (size_t s = 0; s < losses[0].size(); ++s) EXPECT_NEAR(losses[1][s], losses[0][s], dtype == DType::fp32 ? 1e-4 : 3e-2) << name_of(dtype) << " step " << s;
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tw
