#include "kernels/loss.h"

#include <algorithm>
#include <limits>

#include "tests/kernels/op_test.h"

namespace tw {
namespace {

using CrossEntropyTest = OpTest;
INSTANTIATE_TEST_SUITE_P(Ops, CrossEntropyTest, op_levels(), op_level_name);

struct Case {
  int64_t N, vocab, padded;
  double size;  // of the logits
};
// More columns than one look takes (2048), and logits whose exponentials overflow.
const Case kCases[] = {{1, 1, 1, 1},     {3, 5, 8, 2},        {2, 16, 16, 1e4},     {40, 33, 64, 5},
                       {5, 2047, 2048, 3}, {3, 5001, 5056, 4}, {2, 6200, 6200, 1e4}, {70, 300, 301, 1e-3}};

TEST_P(CrossEntropyTest, LossAndGradientEqualTheDefinition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << c.N << " x " << c.vocab << " of " << c.padded << ", logits of " << c.size);
    Tensor logits = normal({c.N, c.padded}, dtype(), 1, c.size);
    std::vector<double> x = values(logits), target;
    for (int64_t n = 0; n < c.N; ++n) {
      target.push_back(n % 5 == 4 ? kIgnoredTarget : double((n * 7919 + 3) % c.vocab));
      for (int64_t v = c.vocab; v < c.padded; ++v) x[size_t(n * c.padded + v)] = std::numeric_limits<double>::quiet_NaN();
    }
    logits = from_values({c.N, c.padded}, dtype(), x);  // what lies in the padding must not matter
    x = values(logits);
    const Tensor targets = from_values({c.N}, DType::i32, target);
    std::vector<double> losses, gradient(x.size());
    for (int64_t n = 0; n < c.N; ++n) {
      const double* row = &x[size_t(n * c.padded)];
      if (target[size_t(n)] < 0) {
        losses.push_back(0);
        continue;
      }
      const size_t t = size_t(target[size_t(n)]);
      double high = row[0], total = 0;
      for (int64_t v = 0; v < c.vocab; ++v) high = std::max(high, row[v]);
      for (int64_t v = 0; v < c.vocab; ++v) total += std::exp(row[v] - high);
      losses.push_back(std::log(total) + high - row[t]);
      for (int64_t v = 0; v < c.vocab; ++v) gradient[size_t(n * c.padded + v)] = std::exp(row[v] - high) / total;
      // 1 - p where p is near 1 must not cancel.
      gradient[size_t(n * c.padded) + t] = std::expm1(-losses.back());
    }
    for (bool wanted : {true, false}) {
      const auto got = on_threads({{{c.N, c.padded}, dtype(), &logits}, {{c.N}}}, [&](const Stream& s, const std::vector<View>& out) {
        cross_entropy({.logits = out[0], .targets = targets.view(), .losses = out[1], .vocab = c.vocab, .gradient = wanted}, s);
      });
      expect_near(got[1], losses, 2e-6, 1e-6, "losses");
      if (wanted) {
        expect_near(got[0], gradient, 1e-6, 2e-6 + rounding(), "gradient");
        for (int64_t n = 0; n < c.N; ++n)
          for (int64_t v = c.vocab; v < c.padded; ++v) ASSERT_EQ(got[0][size_t(n * c.padded + v)], 0);
      } else {
        for (size_t i = 0; i < x.size(); ++i) {
          if (int64_t(i) % c.padded >= c.vocab) continue;
          ASSERT_EQ(got[0][i], x[i]) << "logits changed";
        }
      }
    }
  }
}

TEST_P(CrossEntropyTest, GradientEqualsFiniteDifferences) {
  const int64_t vocab = 19;
  const Tensor logits = normal({1, vocab}, dtype(), 1, 2), targets = from_values({1}, DType::i32, {7});
  std::vector<double> x = values(logits), want;
  for (size_t i = 0; i < x.size(); ++i)
    want.push_back(slope([](const std::vector<double>& row) {
      double total = 0;
      for (double v : row) total += std::exp(v);
      return std::log(total) - row[7];
    }, x, i));
  const auto got = on_threads({{{1, vocab}, dtype(), &logits}, {{1}}}, [&](const Stream& s, const std::vector<View>& out) {
    cross_entropy({.logits = out[0], .targets = targets.view(), .losses = out[1], .vocab = vocab}, s);
  });
  expect_near(got[0], want, 1e-6, 1e-6 + rounding(), "gradient");
}

// A row is shifted by the largest logit so far, looked for in pieces of 2048: pieces of very different heights, in both orders.
TEST_P(CrossEntropyTest, PiecesOfARowMayDifferInHeight) {
  const double none = -std::numeric_limits<double>::infinity();
  for (const std::vector<double>& heights : std::vector<std::vector<double>>{
           {none, -200, -180, -60, 0}, {0, -60, -180, -200, none}, {5, 44, 46, 90, 129}, {none, none, -1, 500, 3}, {-30, 30, none, 70, 0}}) {
    const int64_t vocab = 4 * 2048 + 700;
    std::vector<double> x = values(normal({vocab}, dtype(), 3));
    for (size_t v = 0; v < x.size(); ++v) x[v] += heights[v / 2048];
    const Tensor logits = from_values({1, vocab}, dtype(), x);
    x = values(logits);
    for (const double target : {7000.0, 8200.0, 3000.0}) {
      const double high = *std::max_element(x.begin(), x.end());
      double total = 0;
      for (double v : x) total += std::exp(v - high);
      const double loss = std::log(total) + high - x[size_t(target)];
      std::vector<double> gradient;
      for (double v : x) gradient.push_back(std::exp(v - high) / total);
      gradient[size_t(target)] = std::expm1(-loss);
      const Tensor targets = from_values({1}, DType::i32, {target});
      for (bool wanted : {true, false}) {
        const auto got = on_threads({{{1, vocab}, dtype(), &logits}, {{1}}}, [&](const Stream& s, const std::vector<View>& out) {
          cross_entropy({.logits = out[0], .targets = targets.view(), .losses = out[1], .vocab = vocab, .gradient = wanted}, s);
        });
        if (std::isinf(loss)) EXPECT_EQ(got[1][0], loss);
        else expect_near(got[1], {loss}, 2e-6, 1e-6, "loss");
        if (wanted) expect_near(got[0], gradient, 1e-6, 2e-6 + rounding(), "gradient");
      }
    }
  }
}

TEST_P(CrossEntropyTest, NaNAndImpossibleTargetsShow) {
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<double> x(3 * 40, 0.5);
  x[17] = std::nan("");    // row 0
  x[40 + 2] = -inf;        // row 1: the target has probability 0
  x[80 + 39] = inf;        // row 2
  const Tensor logits = from_values({3, 40}, dtype(), x), targets = from_values({3}, DType::i32, {1, 2, 3});
  const auto got = on_threads({{{3, 40}, dtype(), &logits}, {{3}}}, [&](const Stream& s, const std::vector<View>& out) {
    cross_entropy({.logits = out[0], .targets = targets.view(), .losses = out[1], .vocab = 40}, s);
  });
  EXPECT_TRUE(std::isnan(got[1][0]));
  EXPECT_EQ(got[1][1], inf);
  EXPECT_FALSE(std::isfinite(got[1][2]));
}

TEST(CrossEntropyArguments, WrongOnesAreNamed) {
  ThreadTeam team(1);
  const Stream s(team);
  Tensor logits({2, 4}, DType::fp32), targets({2}, DType::i32), losses({2}, DType::fp32), bad({3}, DType::fp32);
  const auto run = [&](int64_t vocab, View out) {
    cross_entropy({.logits = logits.view(), .targets = targets.view(), .losses = out, .vocab = vocab}, s);
  };
  expect_refused([&] { run(5, losses.view()); }, "[cross_entropy] vocab 5 of logits (2, 4)");
  expect_refused([&] { run(4, bad.view()); }, "[cross_entropy] losses: want (2) fp32, got (3) fp32");
  targets.as<int32_t>()[1] = 3;
  expect_refused([&] { run(3, losses.view()); }, "target 1 is 3, but the vocabulary has 3 tokens");
  targets.as<int32_t>()[1] = -2;
  expect_refused([&] { run(3, losses.view()); }, "target 1 is -2");
}

}  // namespace
}  // namespace tw
