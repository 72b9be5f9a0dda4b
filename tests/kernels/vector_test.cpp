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

TEST_F(TW_SUITE, Bf16RoundsAsTheScalarDoes) {
  for (int64_t bits = 0; bits < (int64_t(1) << 32); bits += 65521 * kLanes / 4) {
    float x[kLanes];
    bf16 y[kLanes];
    for (int i = 0; i < kLanes; ++i) x[i] = std::bit_cast<float>(uint32_t(bits + i * 32767));
    round_to_bf16(x, y);
    for (int i = 0; i < kLanes; ++i) EXPECT_EQ(y[i].bits, bf16(x[i]).bits);
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
