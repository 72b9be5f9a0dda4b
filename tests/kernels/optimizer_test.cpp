#include "kernels/optimizer.h"

#include <algorithm>
#include <bit>

#include "kernels/checksum.h"
#include "tests/kernels/op_test.h"

namespace tw {
namespace {

using Optimizer = OpTest;
INSTANTIATE_TEST_SUITE_P(Ops, Optimizer, op_levels({DType::fp32}), op_level_name);

TEST_P(Optimizer, AdamWFollowsTheAlgorithm) {
  for (int64_t blocks : {1, 3, 70}) {
    const int64_t n = blocks * kParameterBlock;
    const double lr = 1e-3, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, decay = 0.1, factor = 0.25;
    const Tensor start = normal({n}, DType::fp32, 1), zeros = tensor({n}, DType::fp32);
    std::vector<Tensor> gradients;
    for (uint32_t k = 0; k < 3; ++k) gradients.push_back(normal({n}, DType::fp32, 2 + k, 0.01));
    std::vector<double> p = values(start), m(p.size()), v(p.size()), flags;
    for (int64_t b = 0; b < blocks; ++b) flags.push_back(double(b % 2));
    for (int k = 1; k <= 3; ++k) {
      const std::vector<double> g = values(gradients[size_t(k - 1)]);
      for (size_t i = 0; i < p.size(); ++i) {
        const double x = g[i] * factor;
        if (flags[i / kParameterBlock] > 0) p[i] *= 1 - lr * decay;
        m[i] = beta1 * m[i] + (1 - beta1) * x;
        v[i] = beta2 * v[i] + (1 - beta2) * x * x;
        p[i] -= lr * (m[i] / (1 - std::pow(beta1, k))) / (std::sqrt(v[i] / (1 - std::pow(beta2, k))) + eps);
      }
    }
    const Tensor decayed = from_values({blocks}, DType::u8, flags);
    for (bool with_copy : {true, false}) {
      const auto got = on_threads({{{n}, DType::fp32, &start}, {{n}, DType::fp32, &zeros}, {{n}, DType::fp32, &zeros}, {{n}, DType::bf16}},
                                  [&](const Stream& s, const std::vector<View>& out) {
        for (int k = 1; k <= 3; ++k)
          adamw({.param = out[0], .m = out[1], .v = out[2], .gradient = gradients[size_t(k - 1)].view(), .decayed = decayed.view(),
                 .copy = with_copy ? out[3] : View(), .lr = float(lr), .beta1 = float(beta1), .beta2 = float(beta2),
                 .eps = float(eps), .weight_decay = float(decay), .gradient_scale = float(factor), .step = k}, s);
      });
      expect_near(got[0], p, 1e-7, 1e-6, "param");
      expect_near(got[1], m, 1e-10, 1e-5, "m");
      expect_near(got[2], v, 1e-14, 1e-5, "v");
      if (with_copy) {
        EXPECT_EQ(got[3], values(from_values({n}, DType::bf16, got[0])));
      }
    }
  }
}

TEST_P(Optimizer, AdamWSumsAreThoseOfWhatItReadAndWrote) {
  const int64_t n = 70 * kParameterBlock, first = 3 * kParameterBlock;
  const Tensor start = normal({n}, DType::fp32, 1), g = normal({n}, DType::fp32, 2), m = normal({n}, DType::fp32, 3), v = from_values({n}, DType::fp32, std::vector<double>(size_t(n), 0.5)),
               decayed = from_values({n / kParameterBlock}, DType::u8, std::vector<double>(size_t(n / kParameterBlock), 1.0));
  for (const bool by_chance : {false, true}) {
    const auto got = on_threads({{{n}, DType::fp32, &start}, {{n}, DType::fp32, &m}, {{n}, DType::fp32, &v}, {{n}, DType::bf16}, {{kAdamWSums}, DType::i64}},
                                [&](const Stream& s, const std::vector<View>& out) {
      adamw({.param = out[0], .m = out[1], .v = out[2], .gradient = g.view(), .decayed = decayed.view(), .copy = out[3], .sums = out[4],
             .stochastic_rounding = by_chance, .first = first, .lr = 0.01f, .step = 2}, s);
      Tensor want = tensor({kAdamWSums}, DType::i64);
      const auto sum = [&](ConstView x, int j, int64_t place) { checksum({.x = x, .sums = want.view().flat(j, j + 1), .first = place}, s); };
      sum(start.view(), kReadParam, first), sum(m.view(), kReadM, first), sum(v.view(), kReadV, first), sum(g.view(), kReadGradient, first);
      sum(out[0], kWroteParam, first), sum(out[1], kWroteM, first), sum(out[2], kWroteV, first), sum(out[3], kWroteCopy, first / 2);
      synchronize(s);
      for (int j = 0; j < kAdamWSums; ++j) EXPECT_EQ(out[4].as<int64_t>()[j], want.as<int64_t>()[j]) << j;
    });
  }
}

// Each value becomes one of its two neighbours in bf16, on average itself; the same numbers on every device, wherever a
// part begins.
TEST_P(Optimizer, StochasticRoundingIsRightOnAverage) {
  const int64_t n = 8 * kParameterBlock;
  const Tensor x = normal({n}, DType::fp32, 1);
  const std::vector<double> exact = values(x);
  std::vector<double> mean(size_t(n), 0.0);
  constexpr int kSteps = 400;
  for (int k = 1; k <= kSteps; ++k) {
    const OpStream stream;
    Tensor copy = poisoned({n}, DType::bf16);
    // In two parts, as two ranks would.
    for (const int64_t begin : {int64_t(0), n / 4})
      round_by_chance({.param = x.view().flat(begin, begin == 0 ? n / 4 : n), .copy = copy.view().flat(begin, begin == 0 ? n / 4 : n), .seed = 7,
                       .first = begin, .step = k}, stream);
    stream.finish();
    const std::vector<double> got = values(copy);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(copy.as<bf16>()[i].bits, uint16_t((std::bit_cast<uint32_t>(x.as<float>()[i]) + rounding_noise(7, k, int64_t(i))) >> 16));
      ASSERT_LE(std::abs(got[i] - exact[i]), std::abs(exact[i]) * 0x1p-7);
      mean[i] += got[i] / kSteps;
    }
  }
  double bias = 0, nearest = 0;
  for (size_t i = 0; i < mean.size(); ++i) {
    bias += std::abs(mean[i] - exact[i]) / std::abs(exact[i]);
    nearest += std::abs(double(float(bf16(float(exact[i])))) - exact[i]) / std::abs(exact[i]);
  }
  EXPECT_LT(bias, 0.2 * nearest);
}

TEST_P(Optimizer, AdamWRoundsItsCopyByChance) {
  const int64_t n = 2 * kParameterBlock;
  const Tensor start = normal({n}, DType::fp32, 1), zeros = tensor({n}, DType::fp32), g = normal({n}, DType::fp32, 2, 0.01), decayed = tensor({2}, DType::u8);
  const auto got = on_threads({{{n}, DType::fp32, &start}, {{n}, DType::fp32, &zeros}, {{n}, DType::fp32, &zeros}, {{n}, DType::bf16}, {{n}, DType::bf16}},
                              [&](const Stream& s, const std::vector<View>& out) {
    adamw({.param = out[0], .m = out[1], .v = out[2], .gradient = g.view(), .decayed = decayed.view(), .copy = out[3], .stochastic_rounding = true,
           .seed = 3, .first = 512, .lr = 1e-3f, .step = 5}, s);
    round_by_chance({.param = out[0], .copy = out[4], .seed = 3, .first = 512, .step = 5}, s);
  });
  EXPECT_EQ(got[3], got[4]);
  EXPECT_NE(got[3], values(from_values({n}, DType::bf16, got[0])));
}

TEST_P(Optimizer, SumOfSquaresHasOneOrder) {
  constexpr int64_t kChunk = 64 * kParameterBlock;
  for (int64_t each : {1, 7, 80, 128})
    for (int64_t parts : {1, 2, 4}) {
      const Tensor x = normal({parts * each * kParameterBlock}, DType::fp32, 1, 1e3);
      std::vector<double> want, at = values(x);
      for (int64_t p = 0; p < parts; ++p) {
        double total = 0;
        const int64_t end = (p + 1) * each * kParameterBlock;
        for (int64_t begin = p * each * kParameterBlock; begin < end; begin += kChunk) {
          std::vector<double> chunk(32, 0.0);
          for (int64_t i = 0; i < std::min(kChunk, end - begin); ++i) chunk[size_t(i % 32)] += at[size_t(begin + i)] * at[size_t(begin + i)];
          for (size_t half = 16; half > 0; half /= 2)
            for (size_t j = 0; j < half; ++j) chunk[j] += chunk[j + half];
          total += chunk[0];
        }
        want.push_back(total);
      }
      const auto got = on_threads({{{parts}, DType::fp64}}, [&](const Stream& s, const std::vector<View>& out) {
        sum_of_squares({.x = x.view(), .sums = out[0]}, s);
      });
      if (kOnGpu) expect_near(got[0], want, 0, 1e-14, "sums");  // in an order of its own
      else EXPECT_EQ(got[0], want);  // to the last bit: squares of fp32 are exact in double
    }
}

double tree(const std::vector<double>& x, size_t n, size_t lo, size_t hi, size_t i) {
  if (hi - lo == 1) return x[lo * n + i];
  const size_t mid = (lo + hi) / 2;
  return double(float(tree(x, n, lo, mid, i)) + float(tree(x, n, mid, hi, i)));
}

TEST_P(Optimizer, TreeSumHasOneOrder) {
  for (int64_t P : {1, 2, 3, 4, 8, 13})
    for (int64_t n : {1, 37, 5000}) {
      const Tensor parts = normal({P, n}, DType::fp32, 1);
      std::vector<double> want, x = values(parts);
      for (size_t i = 0; i < size_t(n); ++i) want.push_back(tree(x, size_t(n), 0, size_t(P), i));
      const auto got = on_threads({{{n}}, {{P, n}, DType::fp32, &parts}}, [&](const Stream& s, const std::vector<View>& out) {
        tree_sum({.parts = parts.view(), .out = out[0]}, s);
        tree_sum({.parts = out[1], .out = out[1].flat(0, n)}, s);
      });
      EXPECT_EQ(got[0], want);
      EXPECT_EQ(std::vector<double>(got[1].begin(), got[1].begin() + n), want) << "in place";
    }
}

TEST(OptimizerShapes, WrongOnesAreNamed) {
  ThreadTeam team(1);
  const Stream s(team);
  Tensor x({256}, DType::fp32), odd({100}, DType::fp32), flags({1}, DType::u8), sums({2}, DType::fp64), parts({2, 3}, DType::fp32);
  const auto update = [&](View param, View m, int64_t step) {
    adamw({.param = param, .m = m, .v = x.view(), .gradient = x.view(), .decayed = flags.view(), .step = step}, s);
  };
  expect_refused([&] { update(odd.view(), odd.view(), 1); }, "[adamw] 100 elements are no multiple of 256");
  expect_refused([&] { update(x.view(), odd.view(), 1); }, "[adamw] m: want (256) fp32, got (100) fp32");
  expect_refused([&] { update(x.view(), x.view(), 0); }, "[adamw] step 0");
  expect_refused([&] { sum_of_squares({.x = x.view(), .sums = sums.view()}, s); }, "[sum_of_squares] 256 elements are no multiple of 2 parts");
  expect_refused([&] { tree_sum({.parts = parts.view(), .out = x.view()}, s); }, "[tree_sum] out: want (3) fp32, got (256) fp32");
}

}  // namespace
}  // namespace tw
