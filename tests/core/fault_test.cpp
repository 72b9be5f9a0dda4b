#include "src/core/fault.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "src/core/error.h"
#include "src/core/log.h"

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
#else
TEST(FaultPoint, IsEmptyInThisBuild) {
  ::setenv("TW_FAULT", "here:*:1:exit", 1);
  fault_point("here");
}
#endif

}  // namespace
}  // namespace tw
