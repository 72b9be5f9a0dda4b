#include "src/core/fault.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <cstring>

#include "src/core/error.h"
#include "src/core/log.h"
#include "src/core/thread_team.h"

namespace tw {
namespace {

#if defined(TW_FAULT_POINTS)
// TW_FAULT is read once a process, so each case runs in a new one.
class FaultPoint : public testing::Test {
 protected:
  void SetUp() override { testing::GTEST_FLAG(death_test_style) = "threadsafe"; }
  // Exit code 100 + the passes that came back.
  [[noreturn]] static void pass(const char* fault, int rank) {
    ::setenv("TW_FAULT", fault, 1);
    set_log_rank(rank);
    int passes = 0;
    try {
      for (; passes < 4; ++passes) fault_point("here"), fault_point("elsewhere");
    } catch (const Error& e) {
      ::_exit(e.code() == ExitCode::io ? 50 + passes : 1);
    }
    ::_exit(100 + passes);
  }
};

TEST_F(FaultPoint, ActsAtItsPassAlone) {
  EXPECT_EXIT(pass("here:*:3:error", 0), testing::ExitedWithCode(52), "");
  EXPECT_EXIT(pass("here:*:2:exit", 0), testing::ExitedWithCode(70), "");
  EXPECT_EXIT(pass("here:*:1:kill", 0), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EXIT(pass("here", 0), testing::KilledBySignal(SIGKILL), "");  // any rank, first pass, kill
  EXPECT_EXIT((::alarm(1), pass("here:*:2:loop", 0)), testing::KilledBySignal(SIGALRM), "fault point here: loop");
  EXPECT_EXIT((::alarm(1), pass("here:*:2:sleep", 0)), testing::KilledBySignal(SIGALRM), "fault point here: sleep");
  EXPECT_EXIT(pass("here:*:2:slow", 0), testing::ExitedWithCode(104), "");
}

TEST_F(FaultPoint, OtherRanksAndPointsGoOn) {
  EXPECT_EXIT(pass("here:1:1:exit", 0), testing::ExitedWithCode(104), "");
  EXPECT_EXIT(pass("here:1:1:exit", 1), testing::ExitedWithCode(70), "");
  EXPECT_EXIT(pass("her:*:1:exit", 0), testing::ExitedWithCode(104), "");
  EXPECT_EXIT(pass("here:*:5:exit", 0), testing::ExitedWithCode(104), "");
  EXPECT_EXIT(pass("", 0), testing::ExitedWithCode(104), "");
}
TEST_F(FaultPoint, FlipsOneBitThatFollowsFromTheSeed) {
  ThreadTeam team(1);
  Tensor x({64}, DType::fp32);
  const auto bits_after = [&](const char* fault, int passes) {
    std::memset(x.view().data, 0, x.view().bytes());
    set_fault(fault);
    for (int i = 0; i < passes; ++i) fault_memory("here", x.view(), Stream(team)), fault_point("here");
    int set = 0;
    for (size_t i = 0; i < x.view().bytes(); ++i) set += std::popcount(static_cast<unsigned char*>(x.view().data)[i]);
    return set;
  };
  set_log_rank(0);
  EXPECT_EQ(bits_after("here:0:2:flip:7", 1), 0);
  EXPECT_EQ(last_flip(), "");
  EXPECT_EQ(bits_after("here:0:3:flip:7", 4), 1);
  const std::string first = last_flip();
  EXPECT_EQ(bits_after("here:0:3:flip:7", 4), 1);
  EXPECT_EQ(last_flip(), first);
  EXPECT_EQ(bits_after("here:0:3:flip:8", 4), 1);
  EXPECT_NE(last_flip(), first);
  EXPECT_EQ(bits_after("here:1:1:flip:7", 4), 0);  // another rank
  EXPECT_GT(bits_after("here:0:1:flips:7", 4), 1);
  EXPECT_EQ(bits_after("here:0:1:stop", 0), 0);
  set_fault("");
}
#else
TEST(FaultPoint, IsEmptyInThisBuild) {
  ::setenv("TW_FAULT", "here:*:1:exit", 1);
  fault_point("here");
}
#endif

}  // namespace
}  // namespace tw
