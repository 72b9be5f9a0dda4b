#include "kernels/checksum.h"

#include "tests/kernels/op_test.h"

namespace tw {
namespace {

uint64_t sum_of(ConstView x, int64_t first, int threads = 1) {
  Tensor sums = tensor({1}, DType::i64);
  const OpStream stream(threads);
  checksum({.x = x, .sums = sums.view(), .first = first}, stream);
  stream.finish();
  return uint64_t(sums.as<int64_t>()[0]);
}

TEST(Checksum, IsTheSameEverywhereAndSeesEveryBit) {
  for (const int64_t n : {1, 3, 255, 140001}) {
    Tensor x = normal({n}, DType::fp32, 1);
    auto* words = static_cast<uint32_t*>(x.view().data);
    for (const int64_t first : {int64_t(0), int64_t(12345), (int64_t(1) << 31) - 2}) {
      uint64_t want = 0;
      for (int64_t i = 0; i < n; ++i) want += checksum_term(words[i], uint64_t(first + i));
      for (const int threads : {1, 2, 3}) EXPECT_EQ(sum_of(x.view(), first, threads), want) << n;
      for (const int bit : {0, 13, 31}) {
        words[n / 2] ^= 1u << bit;
        EXPECT_NE(sum_of(x.view(), first), want) << "bit " << bit;
        words[n / 2] ^= 1u << bit;
      }
      if (n < 2 || words[0] == words[n - 1]) continue;
      std::swap(words[0], words[n - 1]);
      EXPECT_NE(sum_of(x.view(), first), want) << "two words changed places";
      std::swap(words[0], words[n - 1]);
    }
  }
}

TEST(Checksum, PartsAddUpToTheWhole) {
  const int64_t parts = 3, n = 70000;
  Tensor x = normal({parts * n}, DType::fp32, 1), sums = tensor({parts}, DType::i64), apart = tensor({parts}, DType::i64);
  const OpStream stream(2);
  checksum({.x = x.view(), .sums = sums.view(), .first = 7}, stream);
  checksum({.x = x.view(), .sums = apart.view(), .first = 7, .one_place = true}, stream);
  stream.finish();
  uint64_t whole = 0;
  for (int64_t j = 0; j < parts; ++j) {
    const ConstView part = x.view().flat(j * n, (j + 1) * n);
    EXPECT_EQ(uint64_t(sums.as<int64_t>()[j]), sum_of(part, 7 + j * n));
    EXPECT_EQ(uint64_t(apart.as<int64_t>()[j]), sum_of(part, 7));
    whole += uint64_t(sums.as<int64_t>()[j]);
  }
  EXPECT_EQ(whole, sum_of(x.view(), 7));
}

TEST(Checksum, WrongArgumentsAreNamed) {
  ThreadTeam team(1);
  Tensor odd({3}, DType::u8), x({4}, DType::fp32), sums({1}, DType::i64), three({3}, DType::i64), wrong({1}, DType::fp64);
  expect_refused([&] { checksum({.x = odd.view(), .sums = sums.view()}, Stream(team)); }, "[checksum] 3 bytes");
  expect_refused([&] { checksum({.x = x.view(), .sums = three.view()}, Stream(team)); }, "[checksum] 16 bytes are no 3 parts");
  expect_refused([&] { checksum({.x = x.view(), .sums = wrong.view()}, Stream(team)); }, "[checksum] sums: want (1) i64");
}

}  // namespace
}  // namespace tw
