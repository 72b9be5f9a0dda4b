#include "src/core/log.h"

#include <gtest/gtest.h>

#include <thread>

namespace tw {
namespace {

class Log : public testing::Test {
 protected:
  void TearDown() override { set_log_level(LogLevel::info); }
  static std::string of_rank(int rank, LogLevel level) {
    set_log_level(level);
    testing::internal::CaptureStderr();
    std::thread([&] {
      if (rank >= 0) set_log_rank(rank);
      log_debug("detail {}", 1);
      log_info("step {}", 2);
      log_warning("slow {}", 3);
    }).join();
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(Log, LevelsHideWhatIsBelow) {
  set_log_rank(0);
  EXPECT_EQ(of_rank(0, LogLevel::debug), "detail 1\nstep 2\nwarning: slow 3\n");
  EXPECT_EQ(of_rank(0, LogLevel::info), "step 2\nwarning: slow 3\n");
  EXPECT_EQ(of_rank(0, LogLevel::quiet), "warning: slow 3\n");
}

TEST_F(Log, RanksAboveZeroAreNamedPerThread) {
  set_log_rank(0);
  EXPECT_EQ(of_rank(3, LogLevel::info), "[rank 3] step 2\n[rank 3] warning: slow 3\n");
  EXPECT_EQ(log_rank(), 0);  // another thread's rank is its own
}

}  // namespace
}  // namespace tw
