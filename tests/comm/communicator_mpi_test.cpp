// The contract over MPI, once with whole messages and once cut into very short ones, so that the
// path of buffers beyond 2 GiB runs without them.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/comm/communicator_contract.h"
#include "tests/support/mpi_gtest.h"

namespace tw {
namespace {

struct Case {
  ContractCase contract;
  size_t message_bytes;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.contract.name << ", messages of " << c.message_bytes; }

class MpiContract : public testing::TestWithParam<Case> {};

TEST_P(MpiContract, Holds) {
  const auto world = mpi_session().world(GetParam().message_bytes);
  EXPECT_EQ(world->transport(), "mpi");
  GetParam().contract.run(*world);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const ContractCase& contract : communicator_contract()) {
    all.push_back({contract, kMpiMessageBytes});
    all.push_back({contract, 1001});  // not a multiple of any element above one byte
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Mpi, MpiContract, testing::ValuesIn(cases()), [](const auto& info) {
  return info.param.contract.name + "_" + std::to_string(info.param.message_bytes);
});

TEST(MpiSession, SeesItsLauncher) {
  EXPECT_TRUE(MpiSession::launched_by_mpi());
  const auto world = mpi_session().world();
  // Set by mpirun, not by srun.
  if (const char* size = std::getenv("OMPI_COMM_WORLD_SIZE")) {
    EXPECT_EQ(std::to_string(world->size()), size);
  }
  if (const char* local_rank = std::getenv("OMPI_COMM_WORLD_LOCAL_RANK")) {
    EXPECT_EQ(std::to_string(world->node_rank()), local_rank);
    EXPECT_EQ(std::to_string(world->node_size()), std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE"));
  }
}

TEST(MpiCommunicator, RefusesMessagesItCannotCount) {
  EXPECT_THROW(mpi_session().world(7), Error);
  EXPECT_THROW(mpi_session().world(size_t(2) << 30), Error);
}

TEST(MpiCommunicator, ReduceScatterAddsInRankOrder) {
  const auto world = mpi_session().world();
  const int n = world->size();
  // 1, 2^-24, 2^-24 ...: added to 1 one by one each is rounded away; added among themselves first
  // they would not be.
  std::vector<float> in(size_t(3 * n), world->rank() == 0 ? 1.0f : 0x1p-24f), out(3, -1.0f);
  world->reduce_scatter({in.data(), DType::fp32, {3 * n}}, {out.data(), DType::fp32, {3}}, ReduceOp::sum,
                        Stream(Device{}, nullptr));
  for (float v : out) EXPECT_EQ(v, 1.0f);
}

// The receiver hears of a length it did not expect.
TEST(MpiCommunicator, RecvReportsAnotherLength) {
  const auto world = mpi_session().world();
  if (world->size() < 2) GTEST_SKIP() << "needs two ranks";
  const Stream host(Device{}, nullptr);
  std::vector<float> buffer(10, 1.0f);
  for (const int sent : {0, 5, 10}) {
    if (world->rank() == 0) world->send({buffer.data(), DType::fp32, {sent}}, 1, 3, host);
    if (world->rank() != 1) continue;
    const int expected = sent == 10 ? 9 : 10;
    try {
      world->recv({buffer.data(), DType::fp32, {expected}}, 0, 3, host);
      ADD_FAILURE() << "a message of " << sent << " was taken for " << expected;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::bug) << e.what();
    }
  }
  world->barrier();
}

// Started by endings_test.cpp, which expects each to end the whole job.
TEST(MpiTestMain, DISABLED_ExpectFailsOnRank1) { EXPECT_NE(mpi_session().world()->rank(), 1); }
TEST(MpiTestMain, DISABLED_AssertFailsOnRank1) {
  const auto world = mpi_session().world();
  ASSERT_NE(world->rank(), 1);
  world->barrier();
}
TEST(MpiTestMain, DISABLED_ThrowsOnRank1) {
  const auto world = mpi_session().world();
  TW_CHECK(world->rank() != 1, data, "thrown on purpose");
  world->barrier();
}

}  // namespace
}  // namespace tw
