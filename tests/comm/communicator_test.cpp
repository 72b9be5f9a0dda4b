// The contract over self and over threads.
#include <gtest/gtest.h>

#include "comm/self.h"
#include "tests/comm/communicator_contract.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {

struct Case {
  ContractCase contract;
  int ranks;  // 0: self
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.contract.name << " on " << c.ranks; }

class CommunicatorContract : public testing::TestWithParam<Case> {};

TEST_P(CommunicatorContract, Holds) {
  const Case& c = GetParam();
  if (c.ranks == 0) return c.contract.run(*make_self_communicator());
  run_ranks(c.ranks, [&](Communicator& comm) {
    ASSERT_EQ(comm.size(), c.ranks);
    c.contract.run(comm);
  });
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const ContractCase& contract : communicator_contract())
    for (int ranks : {0, 1, 2, 3, 4, 7}) all.push_back({contract, ranks});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Local, CommunicatorContract, testing::ValuesIn(cases()), [](const auto& info) {
  return info.param.contract.name + (info.param.ranks ? "_threads" + std::to_string(info.param.ranks) : "_self");
});

TEST(SelfCommunicator, AbortEndsTheProcessWithItsCode) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(make_self_communicator()->abort(77), testing::ExitedWithCode(77), "");
}

}  // namespace
}  // namespace tw
