// Compiled once per instruction set, as kernels/cpu is.
#include "kernels/cpu/vector.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

TW_SIMD_BEGIN
namespace {
void exp_of(const float* x, float* y) { store(y, exp(load(x))); }
void exp_of_score_of(const float* x, float* y) { store(y, exp_of_score(load(x))); }
void reciprocal_of(const float* x, float* y) { store(y, reciprocal(load(x))); }
void round_to_bf16(const float* x, bf16* y) { store(y, load(x)); }
void widen(const bf16* x, float* y) { store(y, load(x)); }
float sum_of(const float* x) { return sum(load(x)); }
float max_of(const float* x) { return max(load(x)); }
}  // namespace
TW_SIMD_END

#define TW_JOIN2(a, b) a##b
#define TW_JOIN(a, b) TW_JOIN2(a, b)
#define TW_SUITE TW_JOIN(Vector_, TW_SIMD_NAMESPACE)

namespace tw::cpu::TW_SIMD_NAMESPACE {
namespace {

class TW_SUITE : public testing::Test {
  void SetUp() override {
    if (best_simd_level() < SimdLevel(TW_SIMD_LEVEL))
      GTEST_SKIP() << "this CPU has no such instructions";
#if defined(TW_SIMD_BF16)
    if (!has_bf16_products()) GTEST_SKIP() << "this CPU has no AVX512_BF16";
#endif
  }
};

TEST_F(TW_SUITE, ExpIsWithinTwoUlpOfTheTruth) {
  double worst = 0;
  for (int64_t bits = 0; bits < (int64_t(1) << 32); bits += 104729 * kLanes / 4) {
    float x[kLanes], y[kLanes];
    for (int i = 0; i < kLanes; ++i) x[i] = std::bit_cast<float>(uint32_t(bits + i * 7919));
    exp_of(x, y);
    for (int i = 0; i < kLanes; ++i) {
      const double truth = std::exp(double(x[i]));
      if (std::isnan(x[i])) {
        EXPECT_TRUE(std::isnan(y[i]));
      } else if (truth > double(std::numeric_limits<float>::max())) {
        EXPECT_GE(y[i], 3.4028e38f) << x[i];
      } else {
        const double ulp = std::max(std::ldexp(1.0, std::ilogb(truth) - 23), 0x1p-149);
        worst = std::max(worst, std::abs(double(y[i]) - truth) / ulp);
      }
    }
  }
  EXPECT_LT(worst, 2.0);
}

TEST_F(TW_SUITE, ExpOfSpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  float x[16] = {0, -0.0f, inf, -inf, 1, -1, 88.8f, -150}, y[16];
  for (int i = 0; i < 16; i += kLanes) exp_of(x + i, y + i);
  EXPECT_EQ(y[0], 1);
  EXPECT_EQ(y[1], 1);
  EXPECT_EQ(y[2], inf);
  EXPECT_EQ(y[3], 0);
  EXPECT_FLOAT_EQ(y[4], 2.7182817f);
  EXPECT_FLOAT_EQ(y[5], 0.36787945f);
  EXPECT_EQ(y[6], inf);
  EXPECT_EQ(y[7], 0);
}

TEST_F(TW_SUITE, ExpOfScoreAndReciprocalAreWithinTheirUlp) {
  double worst_exp = 0, worst_reciprocal = 0;
  for (int64_t k = 0; k < 400'000; k += kLanes) {
    float x[kLanes], d[kLanes], y[kLanes], z[kLanes];
    for (int i = 0; i < kLanes; ++i) x[i] = float(-87 + 175 * double(k + i) / 400'000), d[i] = std::ldexp(1 + float((k + i) % 4096) / 4096, int((k + i) % 251) - 125);
    exp_of_score_of(x, y);
    reciprocal_of(d, z);
    for (int i = 0; i < kLanes; ++i) {
      const double e = std::exp(double(x[i])), r = 1 / double(d[i]);
      worst_exp = std::max(worst_exp, std::abs(double(y[i]) - e) / std::ldexp(1.0, std::ilogb(e) - 23));
      worst_reciprocal = std::max(worst_reciprocal, std::abs(double(z[i]) - r) / std::ldexp(1.0, std::ilogb(r) - 23));
    }
  }
  EXPECT_LT(worst_exp, 2.0);
  EXPECT_LT(worst_reciprocal, 1.0);
  // NaN of any payload stays NaN, and what lies below stays at e^-87.
  float x[16], y[16], z[16];
  for (int i = 0; i < 16; ++i) x[i] = std::bit_cast<float>(0x7f800001u + uint32_t(i) * 0x3fdb3u + uint32_t(i % 2) * 0x80000000u);
  x[15] = -std::numeric_limits<float>::infinity();
  for (int i = 0; i < 16; i += kLanes) exp_of_score_of(x + i, y + i), reciprocal_of(x + i, z + i);
  for (int i = 0; i < 15; ++i) EXPECT_TRUE(std::isnan(y[i]) && std::isnan(z[i])) << i;
  EXPECT_NEAR(y[15], 1.6458115e-38f, 1e-44f);
}

TEST_F(TW_SUITE, Bf16RoundsAsTheScalarDoes) {
  for (int64_t bits = 0; bits < (int64_t(1) << 32); bits += 65521 * kLanes / 4) {
    float x[kLanes];
    bf16 y[kLanes];
    for (int i = 0; i < kLanes; ++i) x[i] = std::bit_cast<float>(uint32_t(bits + i * 32767));
    round_to_bf16(x, y);
    for (int i = 0; i < kLanes; ++i) {
#if defined(TW_SIMD_BF16)
      if (std::fpclassify(x[i]) == FP_SUBNORMAL) x[i] = std::copysign(0.0f, x[i]);
#endif
      EXPECT_EQ(y[i].bits, bf16(x[i]).bits);
    }
    float wide[kLanes];
    widen(y, wide);
    for (int i = 0; i < kLanes; ++i) EXPECT_EQ(std::bit_cast<uint32_t>(wide[i]) >> 16, y[i].bits);
  }
}

TEST_F(TW_SUITE, SumAndMaximum) {
  float x[kLanes];
  for (int i = 0; i < kLanes; ++i) x[i] = float(i * i % 13) - 5;
  double total = 0;
  float largest = x[0];
  for (float v : x) total += v, largest = std::max(largest, v);
  EXPECT_EQ(sum_of(x), float(total));
  EXPECT_EQ(max_of(x), largest);
}

}  // namespace
}  // namespace tw::cpu::TW_SIMD_NAMESPACE
