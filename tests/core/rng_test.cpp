#include "src/core/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace tw {
namespace {

TEST(Philox, KnownAnswers) {  // Random123, kat_vectors, "philox4x32 10"
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, IsAFunctionOfAllItsParts) {
  const Rng base{.seed = 1, .stream = RngStream::init, .a = 2, .b = 3};
  std::set<uint64_t> seen = {base.bits64(0)};
  Rng other = base;
  other.seed = 2;
  EXPECT_TRUE(seen.insert(other.bits64(0)).second);
  other = base, other.seed = 1 + (uint64_t(1) << 32);
  EXPECT_TRUE(seen.insert(other.bits64(0)).second);
  for (RngStream s : {RngStream::data_order, RngStream::dropout, RngStream::sampling, RngStream::test}) {
    other = base, other.stream = s;
    EXPECT_TRUE(seen.insert(other.bits64(0)).second);
  }
  other = base, other.a = 3;
  EXPECT_TRUE(seen.insert(other.bits64(0)).second);
  other = base, other.b = 4;
  EXPECT_TRUE(seen.insert(other.bits64(0)).second);
  EXPECT_TRUE(seen.insert(base.bits64(uint64_t(1) << 33)).second);  // beyond 32 bits of the counter
  EXPECT_EQ(base.bits64(7), (Rng{1, RngStream::init, 2, 3}.bits64(7)));
}

TEST(Rng, WordsAreThoseOfTheBlocks) {
  const Rng rng{9, RngStream::test, 1, 2};
  for (uint64_t i = 0; i < 16; ++i) {
    EXPECT_EQ(rng.bits(i), rng.block(i / 4)[i % 4]);
    EXPECT_EQ(rng.bits64(i), uint64_t(rng.bits(2 * i)) << 32 | rng.bits(2 * i + 1));
    EXPECT_EQ(rng.uniform(i), std::floor(double(rng.bits64(i) >> 11)) / 9007199254740992.0);
  }
}

// Means of n numbers lie within 5 standard errors: a fixed seed, so this holds always or never.
TEST(Rng, NumbersHaveTheirMoments) {
  const Rng rng{5, RngStream::test, 0, 0};
  constexpr int n = 200000;
  double u1 = 0, u2 = 0, n1 = 0, n2 = 0, n4 = 0, neighbours = 0;
  for (int i = 0; i < n; ++i) {
    const double u = rng.uniform(uint64_t(i)), x = double(rng.normal(uint64_t(i)));
    ASSERT_TRUE(u >= 0 && u < 1 && std::isfinite(x));
    u1 += u, u2 += u * u, n1 += x, n2 += x * x, n4 += x * x * x * x;
    neighbours += x * double(rng.normal(uint64_t(i) + 1));
  }
  const double error = 5 / std::sqrt(double(n));
  EXPECT_NEAR(u1 / n, 0.5, 0.289 * error);
  EXPECT_NEAR(u2 / n, 1.0 / 3, 0.299 * error);
  EXPECT_NEAR(n1 / n, 0, error);
  EXPECT_NEAR(n2 / n, 1, 1.414 * error);
  EXPECT_NEAR(n4 / n, 3, 9.8 * error);
  EXPECT_NEAR(neighbours / n, 0, error);
}

}  // namespace
}  // namespace tw
