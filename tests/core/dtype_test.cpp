#include "src/core/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "src/core/error.h"

namespace tw {
namespace {

// What the bits mean by the standard, not by the code under test.
template <class T>
float meaning(uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1), mantissa = bits & ((1 << mantissa_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  float value = 0;
  if (exponent == (1 << exponent_bits) - 1)
    value = mantissa ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  else if (exponent == 0)
    value = float(std::ldexp(double(mantissa), 1 - bias - mantissa_bits));
  else
    value = float(std::ldexp(double(mantissa + (1 << mantissa_bits)), exponent - bias - mantissa_bits));
  return bits >> 15 ? -value : value;
}

// Every value goes to fp32 exactly and back; between any two neighbours the middle goes to the even one and all else to
// the nearer. That covers each place where rounding decides.
template <class T>
void check_all(int exponent_bits, int mantissa_bits) {
  const uint16_t infinity = uint16_t(((1 << exponent_bits) - 1) << mantissa_bits);
  for (uint32_t u = 0; u < 65536; ++u) {
    T half;
    half.bits = uint16_t(u);
    const float got = float(half), want = meaning<T>(half.bits, exponent_bits, mantissa_bits);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << u;
      ASSERT_TRUE(std::isnan(float(T(got)))) << u;
      continue;
    }
    ASSERT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(want)) << u;
    ASSERT_EQ(T(got).bits, half.bits) << u;
    const uint16_t magnitude = half.bits & 0x7fff;
    if (magnitude >= infinity) continue;
    // The upper neighbour of the largest value counts as the next power of two would (IEEE 754, 4.3.1).
    const double low = std::abs(double(got));
    const double step = std::ldexp(1.0, std::max(1, magnitude >> mantissa_bits) - (1 << (exponent_bits - 1)) + 1 - mantissa_bits);
    const float middle = float(low + step / 2);
    if (!std::isfinite(middle)) continue;
    const uint16_t sign = half.bits & 0x8000, above = uint16_t(magnitude + 1), even = magnitude % 2 ? above : magnitude;
    const float s = sign ? -1.0f : 1.0f;
    ASSERT_EQ(T(s * middle).bits, sign | even) << u;
    if (double(middle) != low + step / 2) continue;  // below fp32's own resolution
    ASSERT_EQ(T(s * std::nextafter(middle, 0.0f)).bits, sign | magnitude) << u;
    ASSERT_EQ(T(s * std::nextafter(middle, std::numeric_limits<float>::infinity())).bits, sign | above) << u;
  }
}

TEST(DType, Bf16IsExactForEveryValueAndEveryTie) { check_all<bf16>(8, 7); }
TEST(DType, Fp16IsExactForEveryValueAndEveryTie) { check_all<fp16>(5, 10); }

TEST(DType, RangeEndsAreKept) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(float(fp16(65519.99f)), 65504.0f);
  EXPECT_EQ(float(fp16(65520.0f)), inf);
  EXPECT_EQ(float(fp16(-1e30f)), -inf);
  EXPECT_EQ(float(fp16(0x1p-25f)), 0.0f);  // the tie below the smallest subnormal
  EXPECT_EQ(float(fp16(std::nextafter(0x1p-25f, 1.0f))), 0x1p-24f);
  EXPECT_TRUE(std::signbit(float(fp16(-0.0f))));
  EXPECT_EQ(float(bf16(std::numeric_limits<float>::max())), inf);
  EXPECT_TRUE(std::signbit(float(bf16(-0.0f))));
  // A NaN whose payload lies in the bits that are cut off must not become infinity.
  EXPECT_TRUE(std::isnan(float(bf16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(float(fp16(std::bit_cast<float>(0xff800001u)))));
}

TEST(DType, NamesAndSizes) {
  const std::pair<DType, size_t> all[] = {{DType::fp32, 4}, {DType::bf16, 2}, {DType::fp16, 2},     {DType::fp8_e4m3, 1},
                                          {DType::fp64, 8}, {DType::i32, 4},  {DType::fp8_e5m2, 1}, {DType::i64, 8},
                                          {DType::u16, 2},  {DType::u8, 1},   {DType::i8, 1}};
  for (const auto& [dtype, size] : all) {
    EXPECT_EQ(dtype_named(name_of(dtype)), dtype);
    EXPECT_EQ(size_of(dtype), size) << name_of(dtype);
  }
  try {
    dtype_named("float");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
  }
}

}  // namespace
}  // namespace tw
