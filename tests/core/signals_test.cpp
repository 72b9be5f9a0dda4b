#include "src/core/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace tw {
namespace {

class Signals : public testing::Test {
 protected:
  void SetUp() override {
    catch_stop_signals();
    clear_stop_signal();
  }
  void TearDown() override {
    clear_stop_signal();
    for (int s : {SIGTERM, SIGINT, SIGUSR1, SIGPIPE, SIGXFSZ}) ::signal(s, SIG_DFL);
  }
};

TEST_F(Signals, EachAsksForAStop) {
  for (int s : {SIGTERM, SIGINT, SIGUSR1}) {
    EXPECT_EQ(stop_signal(), 0);
    ::raise(s);
    EXPECT_EQ(stop_signal(), s);
    clear_stop_signal();
  }
}

TEST_F(Signals, ASecondTermOrIntEndsAtOnce) {
  EXPECT_EXIT((::raise(SIGTERM), ::raise(SIGTERM), ::_exit(1)), testing::ExitedWithCode(75), "");
  EXPECT_EXIT((::raise(SIGTERM), ::raise(SIGINT), ::_exit(1)), testing::ExitedWithCode(75), "");
}

// Slurm sends SIGUSR1 ahead of time and SIGTERM at its end: the checkpoint under way must not be lost.
TEST_F(Signals, UserSignalsDoNotCountAsTheFirst) {
  ::raise(SIGUSR1);
  ::raise(SIGUSR1);
  EXPECT_EQ(stop_signal(), SIGUSR1);
  EXPECT_EXIT((::raise(SIGTERM), ::_exit(stop_signal() == SIGTERM ? 10 : 11)), testing::ExitedWithCode(10), "");
  EXPECT_EXIT((::raise(SIGTERM), ::raise(SIGUSR1), ::raise(SIGTERM), ::_exit(1)), testing::ExitedWithCode(75), "");
}

TEST_F(Signals, BrokenPipesAndFileLimitsAreErrorsOfWrite) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  EXPECT_EQ(::write(ends[1], "x", 1), -1);  // and not the end of the process
  EXPECT_EQ(errno, EPIPE);
  ::close(ends[1]);
  ::raise(SIGXFSZ);
}

}  // namespace
}  // namespace tw
