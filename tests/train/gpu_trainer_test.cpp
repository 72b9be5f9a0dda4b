// What a training step on a GPU costs in things that can be counted, on an emulated one.
#include <gtest/gtest.h>

#include "comm/self.h"
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

}  // namespace
}  // namespace tw
