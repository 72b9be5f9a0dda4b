// Training over real MPI ranks gives the bits that one rank gives.
#include <gtest/gtest.h>

#include "comm/self.h"
#include "src/core/thread_team.h"
#include "tests/support/mpi_gtest.h"
#include "tests/train/train_fixture.h"

namespace tw {
namespace {

std::string train(Communicator& comm, DType dtype, int threads) {
  ThreadTeam team(threads);
  Trainer trainer(train_options({.type = Architecture::gpt2, .dtype = dtype}), made_up_batches(), comm, Stream(team));
  trainer.initialize(1);
  for (int s = 0; s < 50; ++s) trainer.step();
  return weights_hash(trainer);
}

TEST(TrainMpi, WeightsAreThoseOfOneRank) {
  const auto world = mpi_session().world();
  const auto alone = make_self_communicator();
  for (DType dtype : {DType::fp32, DType::bf16}) {
    const std::string want = train(*alone, dtype, 1);
    for (int threads : {1, 2})
      EXPECT_EQ(train(*world, dtype, threads), want) << name_of(dtype) << ", " << threads << " threads";
  }
}

}  // namespace
}  // namespace tw
