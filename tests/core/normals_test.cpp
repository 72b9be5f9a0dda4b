#include "src/core/normals.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <vector>

namespace tw {
namespace {

// Numbers from the C library are the truth; another library than GNU's may round a last bit otherwise.
TEST(Normals, AreThoseOfTheLibrarysFunctions) {
  const Rng rng{7, RngStream::test, 3, 1};
  for (const int64_t first : {int64_t(0), int64_t(4), (int64_t(1) << 34) - 128})  // beyond 32 bits of the counter too
    for (const int64_t count : {0, 1, 3, 4, 127, 128, 129, 100'003}) {
      std::vector<float> fast(size_t(count) + 1, 77.0f), slow(size_t(count) + 1, 77.0f);
      fill_normals(rng, 0.02f, first, count, fast.data());
      scalar::fill_normals(rng, 0.02f, first, count, slow.data());
      for (size_t i = 0; i < size_t(count); ++i) {
#if defined(__GLIBC__)
        ASSERT_EQ(std::bit_cast<uint32_t>(fast[i]), std::bit_cast<uint32_t>(slow[i])) << first << " " << count << " " << i;
#else
        ASSERT_NEAR(fast[i], slow[i], 1e-6f * std::abs(slow[i]));
#endif
      }
      EXPECT_EQ(fast.back(), 77.0f);
    }
}

TEST(Normals, HaveTheirMoments) {
  const Rng rng{5, RngStream::test, 0, 0};
  std::vector<float> x(400'000);
  fill_normals(rng, 2, 0, int64_t(x.size()), x.data());
  double sum = 0, squares = 0, fourth = 0, neighbours = 0;
  for (size_t i = 0; i + 1 < x.size(); ++i) {
    const double v = x[i] / 2.0;
    sum += v, squares += v * v, fourth += v * v * v * v, neighbours += v * x[i + 1] / 2.0;
  }
  const double n = double(x.size()), error = 5 / std::sqrt(n);
  EXPECT_NEAR(sum / n, 0, error);
  EXPECT_NEAR(squares / n, 1, 1.5 * error);
  EXPECT_NEAR(fourth / n, 3, 10 * error);
  EXPECT_NEAR(neighbours / n, 0, error);
}

}  // namespace
}  // namespace tw
