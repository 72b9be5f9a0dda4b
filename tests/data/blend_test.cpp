// Samples dealt to files: exact shares at every moment, stages, random access.
#include "src/data/blend.h"

#include <cmath>
#include <numeric>

#include <gmock/gmock.h>

#include "src/core/error.h"
#include "src/core/rng.h"

namespace tw {
namespace {
using testing::ElementsAre;
using testing::HasSubstr;

// Walks the samples one by one and returns the largest distance of a file's share from its weight, over all moments.
double worst_error(const std::vector<double>& weights, int64_t samples) {
  const Blend blend({{0, weights}}, weights.size());
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<int64_t> count(weights.size());
  double worst = 0;
  for (int64_t i = 0; i < samples; ++i) {
    const Blend::Draw draw = blend.at(i);
    EXPECT_EQ(draw.number, count[size_t(draw.file)]++) << "sample " << i;
    for (size_t f = 0; f < weights.size(); ++f)
      worst = std::max(worst, std::fabs(double(count[f]) - weights[f] / sum * double(i + 1)));
  }
  EXPECT_EQ(blend.drawn(samples), count);
  return worst;
}

// The bound is Tijdeman's.
TEST(Blend, EachFileHasItsShareToWithinASampleAtEveryMoment) {
  EXPECT_LE(worst_error({1}, 10), 0);
  EXPECT_LE(worst_error({0.7, 0.3}, 1000), 0.5 + 1e-9);
  EXPECT_LE(worst_error({0, 7, 0, 0.01}, 1000), 0.5 + 1e-9);
  EXPECT_LE(worst_error({1, 1, 1}, 1000), 0.75 + 1e-9);
  EXPECT_LT(worst_error({0.4, 0.3, 0.299, 0.001}, 5000), 1);
  EXPECT_LT(worst_error({5, 0, 1, 1, 1, 1, 1, 1, 1, 1}, 3000), 1) << "small ones must not come all at once";
  EXPECT_LT(worst_error({std::sqrt(2.0), std::exp(1.0), M_PI, 1e-3}, 5000), 1) << "no fractions: kept to a millionth";
  const Rng rng{1, RngStream::test, 0, 0};
  for (uint64_t round = 0; round < 30; ++round) {
    std::vector<double> weights;
    for (uint64_t f = 0; f < 2 + round % 9; ++f) weights.push_back(double(1 + rng.bits(round * 100 + f) % 100));
    EXPECT_LE(worst_error(weights, 2000), 1 - 1 / (2 * double(weights.size()) - 2) + 1e-9)
        << testing::PrintToString(weights);
  }
}

TEST(Blend, PeriodsAreAsShortAsTheWeightsAllow) {
  const auto period = [](std::vector<double> weights) {
    return Blend({{0, weights}}, weights.size()).stages()[0].period;
  };
  EXPECT_EQ(period({0.7, 0.3}), 10);
  EXPECT_EQ(period({70, 30}), 10);
  EXPECT_EQ(period({0.7, 0.25, 0.05}), 20);
  EXPECT_EQ(period({1, 0, 1}), 2);
  EXPECT_EQ(period({2, 2, 3}), 7);
  EXPECT_EQ(period({1, M_PI}), int64_t(1) << 20);
}

TEST(Blend, StagesGoOnWhereTheOneBeforeEnded) {
  const Blend blend({{0, {1, 0, 1}}, {7, {0, 1, 0}}, {10, {1, 1, 2}}}, 3);
  std::vector<int64_t> count(3);
  for (int64_t i = 0; i < 18; ++i) {
    EXPECT_EQ(blend.drawn(i), count) << i;
    const Blend::Draw draw = blend.at(i);
    EXPECT_EQ(draw.number, count[size_t(draw.file)]++) << i;
    if (i < 7) {
      EXPECT_NE(draw.file, 1) << i;
    }
    if (i >= 7 && i < 10) {
      EXPECT_EQ(draw.file, 1) << i;
    }
  }
  EXPECT_EQ(blend.drawn(10)[1], 3);
  const auto at10 = blend.drawn(10), at18 = blend.drawn(18);
  EXPECT_EQ(at18[0] - at10[0], 2);
  EXPECT_EQ(at18[1] - at10[1], 2);
  EXPECT_EQ(at18[2] - at10[2], 4);
  EXPECT_TRUE(blend.uses(1));
  EXPECT_FALSE(Blend({{0, {1, 0}}}, 2).uses(1));
}

TEST(Blend, FarSamplesAreFoundAtOnce) {
  const Blend blend({{0, {1, M_PI, 7}}}, 3);
  const int64_t far = (int64_t(1) << 50) + 12345;
  const auto before = blend.drawn(far), after = blend.drawn(far + 1);
  const Blend::Draw draw = blend.at(far);
  EXPECT_EQ(std::accumulate(before.begin(), before.end(), int64_t(0)), far);
  for (size_t f = 0; f < 3; ++f) EXPECT_EQ(after[f] - before[f], int(f) == draw.file);
  EXPECT_EQ(draw.number, before[size_t(draw.file)]);
}

TEST(Blend, EntriesOfTheSettingAreRead) {
  EXPECT_THAT(parse_blend_entry("0.7 0.3").weights, ElementsAre(0.7, 0.3));
  EXPECT_EQ(parse_blend_entry("0.7 0.3").start, 0);
  EXPECT_THAT(parse_blend_entry(" 7,3, 1e-1 ").weights, ElementsAre(7, 3, 0.1));
  const BlendEntry step = parse_blend_entry("1000: 1 2"), share = parse_blend_entry("12.5 % : 0 1");
  EXPECT_EQ(step.start, 1000);
  EXPECT_FALSE(step.share);
  EXPECT_THAT(step.weights, ElementsAre(1, 2));
  EXPECT_EQ(share.start, 0.125);
  EXPECT_TRUE(share.share);
}

TEST(Blend, SaysWhatIsWrong) {
  const auto fails = [](const auto& call, const char* word) {
    try {
      call();
      ADD_FAILURE() << word;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::config);
      EXPECT_THAT(e.what(), HasSubstr(word));
    }
  };
  for (const char* text : {"", " ", "a", "0.7 x", "-1 2", "inf 1", "nan", "1;2", "0.7.3", "1e999", "75%", "1 % 2"})
    fails([&] { parse_blend_entry(text); }, "data.blend");
  fails([] { parse_blend_entry("1.5: 1"); }, "whole step");
  fails([] { parse_blend_entry("101%: 1"); }, "behind the end");
  fails([] { parse_blend_entry(": 1"); }, "data.blend");
  fails([] { parse_blend_entry("1 2: 1"); }, "before the colon");
  fails([] { parse_blend_entry("5:"); }, "no weights");
  fails([] { Blend({{0, {1, 2}}}, 3); }, "2 weights for the 3 files");
  fails([] { Blend({{0, {0, 0}}}, 2); }, "add up to 0");
  fails([] { Blend({{5, {1}}}, 1); }, "begin with the run");
  fails([] { Blend({{0, {1}}, {5, {1}}, {5, {1}}}, 1); }, "not behind");
  fails([] { Blend({}, 1); }, "begin with the run");
}

}  // namespace
}  // namespace tw
