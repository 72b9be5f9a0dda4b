#include "src/generate/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

#include "kernels/sampling.h"
#include "tests/support/test_device.h"

namespace tw {
namespace {

const Stream& stream() {
  static const OpStream stream;
  return stream;
}
constexpr int kDraws = kOnGpu ? 400 : 20000;  // an emulated GPU takes its time

Tensor logits_of(const std::vector<double>& probabilities) {
  Tensor t = tensor({int64_t(probabilities.size())}, DType::fp32);
  for (size_t i = 0; i < probabilities.size(); ++i) t.as<float>()[i] = float(std::log(probabilities[i]));
  return t;
}

std::vector<int> histogram(const SamplingOptions& options, const Tensor& logits, int draws) {
  Sampler sampler(options, logits.count());
  std::vector<int> counts(size_t(logits.count()));
  for (int i = 0; i < draws; ++i) ++counts[size_t(sampler.pick(logits.view(), 0, i, stream()))];
  return counts;
}

TEST(Sampler, FollowsTheProbabilities) {
  const std::vector<double> p = {0.1, 0.2, 0.3, 0.4};
  const auto counts = histogram({.seed = 3}, logits_of(p), kDraws);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(counts[i] / double(kDraws), p[i], 4 * std::sqrt(p[i] * (1 - p[i]) / kDraws)) << i;
}

TEST(Sampler, TemperatureSharpens) {
  const std::vector<double> p = {0.1, 0.2, 0.3, 0.4};
  const auto counts = histogram({.temperature = 0.5, .seed = 3}, logits_of(p), kDraws);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(counts[i] / double(kDraws), p[i] * p[i] / 0.30, 3 / std::sqrt(double(kDraws))) << i;
}

TEST(Sampler, TopKAndTopPCut) {
  const auto logits = logits_of({0.1, 0.2, 0.3, 0.4});
  auto counts = histogram({.top_k = 2, .seed = 3}, logits, kDraws / 4);
  EXPECT_EQ(counts[0] + counts[1], 0);
  EXPECT_NEAR(counts[3] / (kDraws / 4.0), 4.0 / 7, 2.5 / std::sqrt(kDraws / 4.0));
  counts = histogram({.top_p = 0.65, .seed = 3}, logits, kDraws / 4);  // 0.4 + 0.3 reaches 0.65
  EXPECT_EQ(counts[0] + counts[1], 0);
  EXPECT_GT(counts[2], kDraws / 20);
  counts = histogram({.top_p = 1e-9, .seed = 3}, logits, 100);
  EXPECT_EQ(counts[3], 100);
}

TEST(Sampler, ZeroTemperatureTakesTheFirstOfEquals) {
  Tensor t = tensor({3}, DType::fp32);
  Sampler s({.temperature = 0}, 3);
  EXPECT_EQ(s.pick(t.view(), 0, 0, stream()), 0);
  t.as<float>()[2] = 1;
  EXPECT_EQ(s.pick(t.view(), 0, 0, stream()), 2);
}

TEST(Sampler, NaNIsNeverPicked) {
  Tensor t = tensor({3}, DType::fp32);
  t.as<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Sampler({.temperature = 0}, 3).pick(t.view(), 0, 0, stream()), 1);
  for (int i = 0; i < kDraws / 200; ++i) EXPECT_NE(Sampler({}, 3).pick(t.view(), 0, i, stream()), 0);
  for (int i = 0; i < 3; ++i) t.as<float>()[i] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(Sampler({}, 3).pick(t.view(), 0, 0, stream()), Error);
}

TEST(Sampler, NaNsAmongManyDoNotDisturbTheOrder) {
  Tensor t = tensor({1000}, DType::fp32);
  for (int i = 0; i < 1000; ++i)
    t.as<float>()[i] = i % 3 ? std::numeric_limits<float>::quiet_NaN() : float(i * 7919 % 1000) / 1000;
  t.as<float>()[600] = 20;  // takes all but 1e-6 of the probability
  for (const SamplingOptions& o : {SamplingOptions{.top_p = 0.9}, SamplingOptions{.top_k = 1}, SamplingOptions{.top_k = 700}})
    for (int i = 0; i < kDraws / 400; ++i) EXPECT_EQ(Sampler(o, 1000).pick(t.view(), 0, i, stream()), 600);
}

TEST(Sampler, SamplesDifferAndRepeat) {
  const auto logits = logits_of(std::vector<double>(50, 0.02));
  Sampler s({.seed = 1}, 50);
  std::vector<int32_t> a, b, again;
  for (int i = 0; i < 20; ++i) {
    a.push_back(s.pick(logits.view(), 0, i, stream()));
    b.push_back(s.pick(logits.view(), 1, i, stream()));
    again.push_back(Sampler({.seed = 1}, 50).pick(logits.view(), 0, i, stream()));
  }
  EXPECT_NE(a, b);
  EXPECT_EQ(a, again);
}

// Every cut of many tokens at many draws, with equal logits among them, against a sorted list.
TEST(Sampler, AgreesWithASortedList) {
  constexpr int kVocab = 1500, kTokens = 1471;  // what lies behind them is not looked at
  Tensor t = tensor({kVocab}, DType::fp32);
  for (int i = 0; i < kVocab; ++i) t.as<float>()[i] = float((i * 7919 + 13) % 211) / 20 - 4;
  for (int i = kTokens; i < kVocab; ++i) t.as<float>()[i] = 1e9f;
  std::vector<int> order(kTokens);
  std::iota(order.begin(), order.end(), 0);
  const auto by_likelihood = [&](int a, int b) { return t.as<float>()[a] != t.as<float>()[b] ? t.as<float>()[a] > t.as<float>()[b] : a < b; };
  Tensor id = tensor({1}, DType::i32);
  for (const int64_t top_k : {int64_t(0), int64_t(1), int64_t(40), int64_t(1471)})
    for (const double top_p : {1.0, 0.9, 0.3})
      for (const double uniform : {0.0, 0.1234, 0.77, 0.999999}) {
        std::vector<int> sorted = order;
        if (top_p < 1 || (top_k > 0 && top_k < kTokens)) std::sort(sorted.begin(), sorted.end(), by_likelihood);
        if (top_k > 0 && top_k < kTokens) sorted.resize(size_t(top_k));
        const double high = double(*std::max_element(t.as<float>(), t.as<float>() + kTokens));
        std::vector<double> w;
        for (int i : sorted) w.push_back(std::exp((double(t.as<float>()[i]) - high) / 0.7));
        double sum = std::accumulate(w.begin(), w.end(), 0.0), reached = 0;
        if (top_p < 1) {
          size_t kept = 0;
          while (reached < top_p * sum) reached += w[kept++];
          sorted.resize(kept), sum = reached;
        }
        double below = 0;
        size_t want = 0;
        while (want + 1 < sorted.size() && below + w[want] <= uniform * sum) below += w[want++];
        pick_token({.logits = t.view(), .id = id.view(), .vocab = kTokens, .temperature = 0.7, .top_k = top_k, .top_p = top_p, .uniform = uniform}, stream());
        synchronize(stream());
        EXPECT_EQ(id.as<int32_t>()[0], sorted[want]) << top_k << " " << top_p << " " << uniform;
      }
}

TEST(Sampler, BadOptionsAreRefused) {
  EXPECT_THROW(Sampler({.temperature = -1}, 3), Error);
  EXPECT_THROW(Sampler({.top_k = -1}, 3), Error);
  EXPECT_THROW(Sampler({.top_p = 0}, 3), Error);
  EXPECT_THROW(Sampler({.top_p = 1.5}, 3), Error);
}

}  // namespace
}  // namespace tw
