#include "kernels/checksum.h"

#include "tests/kernels/op_test.h"

namespace tw {
namespace {

TEST(Checksum, IsTheSameEverywhereAndSeesEveryBit) {
  for (const int64_t n : {1, 3, 255, 70001}) {
    Tensor x = normal({n}, DType::fp32, 1), sum = tensor({1}, DType::i64);
    const auto sum_of = [&](int threads) {
      const OpStream stream(threads);
      checksum({.x = x.view(), .sum = sum.view()}, stream);
      stream.finish();
      return uint64_t(sum.as<int64_t>()[0]);
    };
    auto* words = static_cast<uint32_t*>(x.view().data);
    uint64_t want = 0;
    for (int64_t i = 0; i < n; ++i) want += checksum_mix(words[i], uint64_t(i));
    for (const int threads : {1, 2, 3}) EXPECT_EQ(sum_of(threads), want) << n;
    for (const int bit : {0, 13, 31}) {
      words[n / 2] ^= 1u << bit;
      EXPECT_NE(sum_of(1), want) << "bit " << bit;
      words[n / 2] ^= 1u << bit;
    }
    if (n < 2 || words[0] == words[n - 1]) continue;
    std::swap(words[0], words[n - 1]);
    EXPECT_NE(sum_of(1), want) << "two words changed places";
  }
}

TEST(Checksum, WrongArgumentsAreNamed) {
  ThreadTeam team(1);
  Tensor odd({3}, DType::u8), x({4}, DType::fp32), sum({1}, DType::i64), wrong({1}, DType::fp64);
  expect_refused([&] { checksum({.x = odd.view(), .sum = sum.view()}, Stream(team)); }, "[checksum] 3 bytes");
  expect_refused([&] { checksum({.x = x.view(), .sum = wrong.view()}, Stream(team)); }, "[checksum] sum: want (1) i64");
}

}  // namespace
}  // namespace tw
