#include "src/watchdog/processes.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tw {
namespace {

MateState settled(const Mate& mate, MateState want) {
  for (int i = 0; i < 500 && mate.state() != want; ++i) ::usleep(10000);
  return mate.state();
}

TEST(Mate, IsSeenToRunStopAndEnd) {
  const pid_t child = ::fork();
  if (child == 0)
    for (;;) ::pause();
  const Mate mate(child);
  ASSERT_GE(mate.fd(), 0);
  EXPECT_EQ(mate.state(), MateState::runs);
  ::kill(child, SIGSTOP);
  EXPECT_EQ(settled(mate, MateState::stopped), MateState::stopped);
  mate.kill();
  EXPECT_EQ(settled(mate, MateState::gone), MateState::gone);  // not yet waited for
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(mate.state(), MateState::gone);
  EXPECT_EQ(Mate().state(), MateState::unknown);
}

TEST(Stillness, GrowsWhileThereIsNoMark) {
  Stillness s;
  Activity doing{.marks = 5};
  double now = 1000;
  for (int i = 0; i < 40; ++i) s.look(doing, now += 0.25);
  EXPECT_NEAR(s.idle(), 9.75, 1e-9);
  EXPECT_LE(s.excused(), s.idle());
  doing.marks = 6;
  s.look(doing, now += 0.25);
  EXPECT_EQ(s.idle(), 0);
  EXPECT_EQ(s.excused(), 0);
}

TEST(Stillness, TimeThatNobodyLookedIsExcused) {
  Stillness s;
  const Activity doing{.marks = 5};
  s.look(doing, 1000), s.look(doing, 1001.25);
  s.look(doing, 1100);  // suspended meanwhile
  EXPECT_NEAR(s.idle(), 100, 1e-9);
  EXPECT_GT(s.excused(), 97);
}

}  // namespace
}  // namespace tw
