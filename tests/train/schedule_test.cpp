#include "src/train/schedule.h"

#include <gtest/gtest.h>

#include "src/core/error.h"

namespace tw {
namespace {

TEST(Schedule, WarmsUpLinearly) {
  const Schedule s{.lr = 1, .steps = 20, .warmup_steps = 4};
  EXPECT_DOUBLE_EQ(s.at(0), 0.25);
  EXPECT_DOUBLE_EQ(s.at(3), 1);
}

TEST(Schedule, EachTypeHasItsKnownPoints) {
  Schedule s{.type = ScheduleType::cosine, .lr = 2, .min_lr_ratio = 0.1, .steps = 104, .warmup_steps = 4};
  EXPECT_DOUBLE_EQ(s.at(4), 2);
  EXPECT_NEAR(s.at(54), 0.2 + 0.9, 1e-12);  // half way
  EXPECT_NEAR(s.at(104), 0.2, 1e-12);
  s.type = ScheduleType::linear;
  EXPECT_NEAR(s.at(54), 1.1, 1e-12);
  s.type = ScheduleType::constant;
  EXPECT_EQ(s.at(54), 2);
  s.type = ScheduleType::wsd;
  s.decay_steps = 20;
  EXPECT_EQ(s.at(83), 2);
  EXPECT_NEAR(s.at(94), 1.1, 1e-12);
  EXPECT_NEAR(s.at(104), 0.2, 1e-12);
}

TEST(Schedule, UnknownNamesAreRefused) {
  EXPECT_EQ(schedule_named("wsd"), ScheduleType::wsd);
  EXPECT_THROW(schedule_named("cosin"), Error);
}

}  // namespace
}  // namespace tw
