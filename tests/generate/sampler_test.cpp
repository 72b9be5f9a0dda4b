#include "src/generate/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

namespace tw {
namespace {

Tensor logits_of(const std::vector<double>& probabilities) {
  Tensor t({int64_t(probabilities.size())}, DType::fp32);
  for (size_t i = 0; i < probabilities.size(); ++i) t.as<float>()[i] = float(std::log(probabilities[i]));
  return t;
}

std::vector<int> histogram(const SamplingOptions& options, const Tensor& logits, int draws) {
  Sampler sampler(options, logits.count());
  std::vector<int> counts(size_t(logits.count()));
  for (int i = 0; i < draws; ++i) ++counts[size_t(sampler.pick(logits.view(), 0, i))];
  return counts;
}

TEST(Sampler, FollowsTheProbabilities) {
  const std::vector<double> p = {0.1, 0.2, 0.3, 0.4};
  const auto counts = histogram({.seed = 3}, logits_of(p), 20000);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(counts[i] / 20000.0, p[i], 4 * std::sqrt(p[i] * (1 - p[i]) / 20000)) << i;
}

TEST(Sampler, TemperatureSharpens) {
  const std::vector<double> p = {0.1, 0.2, 0.3, 0.4};
  const auto counts = histogram({.temperature = 0.5, .seed = 3}, logits_of(p), 20000);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(counts[i] / 20000.0, p[i] * p[i] / 0.30, 0.02) << i;
}

TEST(Sampler, TopKAndTopPCut) {
  const auto logits = logits_of({0.1, 0.2, 0.3, 0.4});
  auto counts = histogram({.top_k = 2, .seed = 3}, logits, 5000);
  EXPECT_EQ(counts[0] + counts[1], 0);
  EXPECT_NEAR(counts[3] / 5000.0, 4.0 / 7, 0.03);
  counts = histogram({.top_p = 0.65, .seed = 3}, logits, 5000);  // 0.4 + 0.3 reaches 0.65
  EXPECT_EQ(counts[0] + counts[1], 0);
  EXPECT_GT(counts[2], 1000);
  counts = histogram({.top_p = 1e-9, .seed = 3}, logits, 100);
  EXPECT_EQ(counts[3], 100);
}

TEST(Sampler, ZeroTemperatureTakesTheFirstOfEquals) {
  Tensor t({3}, DType::fp32);
  Sampler s({.temperature = 0}, 3);
  EXPECT_EQ(s.pick(t.view(), 0, 0), 0);
  t.as<float>()[2] = 1;
  EXPECT_EQ(s.pick(t.view(), 0, 0), 2);
}

TEST(Sampler, NaNIsNeverPicked) {
  Tensor t({3}, DType::fp32);
  t.as<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Sampler({.temperature = 0}, 3).pick(t.view(), 0, 0), 1);
  for (int i = 0; i < 100; ++i) EXPECT_NE(Sampler({}, 3).pick(t.view(), 0, i), 0);
  for (int i = 0; i < 3; ++i) t.as<float>()[i] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(Sampler({}, 3).pick(t.view(), 0, 0), Error);
}

TEST(Sampler, NaNsAmongManyDoNotDisturbTheOrder) {
  Tensor t({1000}, DType::fp32);
  for (int i = 0; i < 1000; ++i)
    t.as<float>()[i] = i % 3 ? std::numeric_limits<float>::quiet_NaN() : float(i * 7919 % 1000) / 1000;
  t.as<float>()[600] = 20;  // takes all but 1e-6 of the probability
  for (const SamplingOptions& o : {SamplingOptions{.top_p = 0.9}, SamplingOptions{.top_k = 1}, SamplingOptions{.top_k = 700}})
    for (int i = 0; i < 50; ++i) EXPECT_EQ(Sampler(o, 1000).pick(t.view(), 0, i), 600);
}

TEST(Sampler, SamplesDifferAndRepeat) {
  const auto logits = logits_of(std::vector<double>(50, 0.02));
  Sampler s({.seed = 1}, 50);
  std::vector<int32_t> a, b, again;
  for (int i = 0; i < 20; ++i) {
    a.push_back(s.pick(logits.view(), 0, i));
    b.push_back(s.pick(logits.view(), 1, i));
    again.push_back(Sampler({.seed = 1}, 50).pick(logits.view(), 0, i));
  }
  EXPECT_NE(a, b);
  EXPECT_EQ(a, again);
}

TEST(Sampler, BadOptionsAreRefused) {
  EXPECT_THROW(Sampler({.temperature = -1}, 3), Error);
  EXPECT_THROW(Sampler({.top_k = -1}, 3), Error);
  EXPECT_THROW(Sampler({.top_p = 0}, 3), Error);
  EXPECT_THROW(Sampler({.top_p = 1.5}, 3), Error);
}

}  // namespace
}  // namespace tw
