#include "src/train/skip_rule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "src/core/error.h"

namespace tw {
namespace {

double noise(int i) { return 0.1 * std::sin(12.9898 * i); }

TEST(SkipRule, FindsOutliersOnceItKnowsEnough) {
  SkipRule rule(6);
  EXPECT_EQ(rule.judge(1000, 1), StepVerdict::take);  // nothing to compare with
  SkipRule fresh(6);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(fresh.judge(3 + noise(i), 1 + noise(i + 7)), StepVerdict::take) << i;
  EXPECT_EQ(fresh.judge(3 + 10, 1), StepVerdict::outlier);
  EXPECT_EQ(fresh.judge(3, 50), StepVerdict::outlier);
  EXPECT_EQ(fresh.consecutive(), 2);
  EXPECT_EQ(fresh.judge(0.1, 0.1), StepVerdict::take);  // far below is no harm
  EXPECT_EQ(fresh.consecutive(), 0);
}

TEST(SkipRule, NotFiniteIsAlwaysSkipped) {
  SkipRule rule(0);
  EXPECT_EQ(rule.judge(std::numeric_limits<double>::quiet_NaN(), 1), StepVerdict::not_finite);
  EXPECT_EQ(rule.judge(1, std::numeric_limits<double>::infinity()), StepVerdict::not_finite);
  EXPECT_EQ(rule.judge(1e9, 1e9), StepVerdict::take);
}

TEST(SkipRule, ALastingChangeIsAccepted) {
  SkipRule rule(6);
  for (int i = 0; i < 100; ++i) rule.judge(3 + noise(i), 1);
  int skipped = 0;
  for (int i = 0; i < 64; ++i) skipped += rule.judge(6 + noise(i), 1) != StepVerdict::take;
  EXPECT_GT(skipped, 0);
  EXPECT_LT(skipped, 20);
}

TEST(SkipRule, StateGoesThroughJson) {
  SkipRule a(6), b(6);
  for (int i = 0; i < 90; ++i) a.judge(3 + noise(i), 1 + noise(i));
  b.from_json(a.to_json());
  for (int i = 0; i < 50; ++i) EXPECT_EQ(a.judge(3 + 0.05 * i, 1), b.judge(3 + 0.05 * i, 1));
  EXPECT_THROW(b.from_json("{"), Error);
  EXPECT_THROW(b.from_json(R"({"losses":[1],"norms":[],"consecutive":0})"), Error);
}

TEST(SkipRule, FarFromTheMedianIsUnusualOnBothSides) {
  SkipRule rule(0);
  EXPECT_FALSE(rule.unusual(1000, 1000));  // nothing to compare with
  for (int i = 0; i < 128; ++i) rule.judge(3 + noise(i), 1 + noise(i + 7));
  EXPECT_FALSE(rule.unusual(3.1, 1.1));
  EXPECT_TRUE(rule.unusual(4, 1));
  EXPECT_TRUE(rule.unusual(2, 1));
  EXPECT_TRUE(rule.unusual(3, 2));
  EXPECT_TRUE(rule.unusual(3, 0.1));
  EXPECT_TRUE(rule.unusual(std::numeric_limits<double>::quiet_NaN(), 1));
  for (int i = 0; i < 30; ++i) rule.judge(50, 50);  // a quarter of outliers moves no median far
  EXPECT_TRUE(rule.unusual(50, 50));
}

TEST(SkipRule, ThreeHighLossesInARowAreALastingSpike) {
  SkipRule rule(0);
  for (int i = 0; i < 128; ++i) rule.judge(3 + noise(i), 1);
  EXPECT_FALSE(rule.lasting_spike(9));
  rule.judge(9, 1);
  EXPECT_FALSE(rule.lasting_spike(9));
  rule.judge(3, 1);  // it passed
  rule.judge(9, 1);
  rule.judge(9, 1);
  SkipRule resumed(0);
  resumed.from_json(rule.to_json());
  for (const SkipRule& r : {rule, resumed}) {
    EXPECT_TRUE(r.lasting_spike(9));
    EXPECT_TRUE(r.lasting_spike(std::numeric_limits<double>::infinity()));
    EXPECT_FALSE(r.lasting_spike(3.5));  // far above the deviations, but no fifth above the median
    EXPECT_FALSE(r.lasting_spike(1));
  }
}

TEST(SkipRule, StateWithoutTheNewerCounterIsRead) {
  SkipRule rule(0);
  rule.from_json(R"({"losses": [1.0], "norms": [1.0], "consecutive": 0})");
  EXPECT_FALSE(rule.lasting_spike(100));
}

}  // namespace
}  // namespace tw
