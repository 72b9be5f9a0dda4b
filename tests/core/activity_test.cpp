#include "src/core/activity.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "src/core/build_id.h"
#include "src/core/stacks.h"

namespace tw {
namespace {

[[gnu::noinline]] void spend(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  asm volatile("");  // a call of its own, not a jump
}

TEST(Activity, ShowsWhatTheFollowedThreadDoes) {
  // Another thread's calls say nothing; so do those of a thread that is not followed yet.
  const uint64_t before = activity().marks;
  mark_phase(WorkPhase::backward);
  EXPECT_EQ(activity().marks, before);
  std::thread([] {
    follow_this_thread();
    const PhaseScope load(WorkPhase::load);
    {
      const PhaseScope evaluate(WorkPhase::evaluate);
      mark_collective("all_reduce");
      const WaitScope wait;
      const Activity a = activity();
      EXPECT_EQ(a.phase, WorkPhase::evaluate);
      EXPECT_TRUE(a.waiting);
      EXPECT_STREQ(a.collective, "all_reduce");
      EXPECT_EQ(a.collectives, 1);
      std::thread([] {
        const WaitScope other;
        mark_collective("of another thread");
      }).join();
      EXPECT_EQ(activity().collectives, 1);
      EXPECT_TRUE(activity().waiting);
    }
    EXPECT_EQ(activity().phase, WorkPhase::load);
    EXPECT_FALSE(activity().waiting);
    const uint64_t marks = activity().marks;
    mark_phase(WorkPhase::load);
    EXPECT_GT(activity().marks, marks) << "the same phase again is progress, too";
  }).join();
  EXPECT_EQ(activity().phase, WorkPhase::other);
}

TEST(Activity, TimesStepsWithoutWaiting) {
  std::thread([] {
    follow_this_thread();
    constexpr int kFirst = 100;  // as of a run that goes on
    mark_step(kFirst);
    EXPECT_EQ(usual_step_seconds(), 0);
    for (int step = kFirst + 1; step <= kFirst + 2 * kStepsOfAWindow; ++step) {
      const PhaseScope phase(WorkPhase::data);
      mark_phase(WorkPhase::forward);
      spend(2);
      mark_phase(WorkPhase::exchange);
      {
        const WaitScope wait;
        spend(4);
      }
      mark_step(step);
      EXPECT_EQ(usual_step_seconds() > 0, step >= kFirst + 3);
      if (step == kFirst + kStepsOfAWindow) {
        EXPECT_EQ(step_times().window, 6);
      }
    }
    // What is between the steps is no part of them.
    const StepTimes t = step_times();
    EXPECT_EQ(t.window, 7);
    EXPECT_GE(t.own, 0.002);
    EXPECT_GE(usual_step_seconds(), t.own + 0.0039);
    EXPECT_GE(t.of[size_t(WorkPhase::forward)], 0.002);
    EXPECT_LT(t.of[size_t(WorkPhase::exchange)], 0.004) << "waiting is not its own";
  }).join();
}

TEST(Stacks, NameTheCallsOfEachThread) {
  prepare_stacks();
  std::atomic<bool> stop{false}, runs{false};
  std::thread sleeper([&] {
    runs = true;
    while (!stop) spend(5);
  });
  while (!runs) spend(1);
  const std::string text = stacks_of_all_threads(5);
  stop = true;
  sleeper.join();
  EXPECT_NE(text.find("thread "), std::string::npos) << text;
  EXPECT_NE(text.find("tw::(anonymous namespace)::spend(int)"), std::string::npos) << "functions that no other object sees have names: " << text;
  EXPECT_EQ(text.find("no answer"), std::string::npos) << text;
}

TEST(BuildId, IsTheLinkersNote) {
  const std::string id = build_id();
  EXPECT_GE(id.size(), 16u);
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos) << id;
  EXPECT_EQ(id, build_id());
}

}  // namespace
}  // namespace tw
