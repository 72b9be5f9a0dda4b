#include "src/train/forecast.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

namespace tw {
namespace {

TEST(Forecast, CountsStepsEvaluationsAndCheckpoints) {
  Forecast f({.steps = 100, .eval_every = 10, .save_every = 25, .evaluates = true, .steps_an_evaluation = 6, .checkpoint_bytes = 0}, nullptr);
  EXPECT_FALSE(f.known());
  EXPECT_EQ(f.rest(0).seconds, 0);
  f.add_steps(1, 50, 500);  // slow, and left out as soon as others are known
  EXPECT_TRUE(f.known());
  EXPECT_DOUBLE_EQ(f.a_step().seconds, 50);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(f.warm());
    f.add_steps(1, 2, 60);
  }
  EXPECT_TRUE(f.warm());
  EXPECT_DOUBLE_EQ(f.a_step().seconds, 2);
  EXPECT_DOUBLE_EQ(f.a_step().joules, 60);
  // 96 steps, evaluations of 4 s (6 steps' tokens, a third of the work) at 10, ..., 90 and 100.
  EXPECT_DOUBLE_EQ(f.rest(4).seconds, 96 * 2 + 10 * 4);
  f.add_evaluation(5);
  f.add_evaluation(7);
  f.add_checkpoint(3);
  EXPECT_DOUBLE_EQ(f.rest(4).seconds, 96 * 2 + 10 * 6 + 4 * 3);
  EXPECT_DOUBLE_EQ(f.rest(50).seconds, 50 * 2 + 5 * 6 + 2 * 3) << "what was due at 50 is done";
  EXPECT_DOUBLE_EQ(f.rest(99).seconds, 2 + 6 + 3);
  EXPECT_EQ(f.rest(100).seconds, 0);
  EXPECT_DOUBLE_EQ(f.rest(99).joules, 11 * 30);
  // Before the next step: it, an evaluation where one is due behind it, and a checkpoint to end with.
  EXPECT_DOUBLE_EQ(f.next(50).seconds, 2 + 3);
  EXPECT_DOUBLE_EQ(f.next(59).seconds, 2 + 6 + 3);
  EXPECT_DOUBLE_EQ(f.next(99).seconds, 2 + 6 + 3);
}

TEST(Forecast, WithoutAMeterHasNoJoules) {
  Forecast f({.steps = 10}, nullptr);
  for (int i = 0; i < 5; ++i) f.add_steps(1, 1, kNoJoules);
  EXPECT_TRUE(std::isnan(f.rest(5).known_joules()));
  EXPECT_DOUBLE_EQ(f.rest(5).seconds, 5);
}

TEST(Forecast, EarlierStartsStandInUntilThisOneIsMeasured) {
  PhaseLedger ledger(std::filesystem::temp_directory_path() / ("tw-forecast-" + std::to_string(getpid())), {});
  ledger.set_nodes(3);
  ledger.resume_training(0);
  ledger.add_training(20, 40, 400, 1);
  ledger.start("checkpoint");
  ledger.add("checkpoint", 6, 0, 0);
  Forecast f({.start_step = 20, .steps = 30, .checkpoint_bytes = 1e15}, &ledger);
  EXPECT_TRUE(f.known());
  EXPECT_FALSE(f.warm());
  EXPECT_DOUBLE_EQ(f.rest(20).seconds, 10 * 2 + 6);
  EXPECT_DOUBLE_EQ(f.rest(20).joules, 260);
  EXPECT_DOUBLE_EQ(f.rest(20).node_seconds, 78);
  f.guess_step(1000, 1);
  EXPECT_DOUBLE_EQ(f.a_step().seconds, 2) << "what was measured is better than a guess";
  for (int i = 0; i < 4; ++i) f.add_steps(1, 3, 3);
  EXPECT_DOUBLE_EQ(f.a_step().seconds, 3);
}

TEST(Forecast, AGuessEndsWithTheFirstStep) {
  Forecast f({.steps = 10}, nullptr);
  f.guess_step(7, 70);
  EXPECT_DOUBLE_EQ(f.rest(0).seconds, 70);
  f.add_steps(1, 2, 10);
  EXPECT_DOUBLE_EQ(f.a_step().seconds, 2);
}

}  // namespace
}  // namespace tw
