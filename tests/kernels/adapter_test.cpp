#include "kernels/adapter.h"

#include "tests/kernels/op_test.h"

namespace tw {
namespace {

const std::vector<std::pair<AdapterParts, int64_t>> kCases = {
    {{1, {1}}, 1}, {{1, {37}}, 5}, {{2, {3, 6}}, 4}, {{2, {0, 9}}, 8}, {{3, {40, 60, 80}}, 3}, {{3, {1000, 1100, 1301}}, 16}};

TEST(Adapter, ARowTakesItsOwnPartAlone) {
  for (DType dtype : {DType::fp32, DType::bf16})
    for (const auto& [parts, r] : kCases) {
      const int64_t out = parts.ends[size_t(parts.count - 1)], wide = parts.count * r;
      SCOPED_TRACE(testing::Message() << parts.count << " parts of " << out << " rows, rank " << r);
      const Tensor b = normal({out, r}, dtype, 1);
      const std::vector<double> given = values(b);
      std::vector<double> want(size_t(out * wide), 0.0);
      for (int64_t row = 0, part = 0; row < out; ++row) {
        while (row >= parts.ends[size_t(part)]) ++part;
        for (int64_t c = 0; c < r; ++c) want[size_t(row * wide + part * r + c)] = 0.25 * given[size_t(row * r + c)];
      }
      const auto got = on_threads({{{out, wide}, dtype}}, [&](const Stream& s, const std::vector<View>& views) {
        adapter_spread({.b = b.view(), .spread = views[0], .parts = parts, .scale = 0.25f}, s);
      });
      EXPECT_EQ(got[0], want);
    }
}

// <spread(b), d> = <b, gather(d)> for any b and d.
TEST(Adapter, GatheringIsTheBackwardOfSpreading) {
  for (const auto& [parts, r] : kCases) {
    const int64_t out = parts.ends[size_t(parts.count - 1)], wide = parts.count * r;
    SCOPED_TRACE(testing::Message() << parts.count << " parts of " << out << " rows, rank " << r);
    const Tensor b = normal({out, r}, DType::fp32, 1), d = normal({out, wide}, DType::fp32, 2), before = normal({out, r}, DType::fp32, 3);
    const auto got = on_threads({{{out, wide}}, {{out, r}, DType::fp32, &before}}, [&](const Stream& s, const std::vector<View>& views) {
      adapter_spread({.b = b.view(), .spread = views[0], .parts = parts, .scale = 1.5f}, s);
      adapter_gather({.dspread = d.view(), .db = views[1], .parts = parts, .scale = 1.5f}, s);
    });
    const std::vector<double> dv = values(d), bv = values(b), start = values(before);
    double left = 0, right = 0, size = 0;
    for (size_t i = 0; i < dv.size(); ++i) left += got[0][i] * dv[i], size += std::abs(got[0][i] * dv[i]);
    for (size_t i = 0; i < bv.size(); ++i) right += bv[i] * (got[1][i] - start[i]);
    EXPECT_NEAR(left, right, 1e-6 * size + 1e-6);
  }
}

TEST(Adapter, WrongShapesAreNamed) {
  ThreadTeam team(1);
  const Stream s(team);
  Tensor b({6, 2}, DType::fp32), spread({6, 4}, DType::fp32), half({6, 2}, DType::fp16);
  expect_refused([&] { adapter_spread({.b = b.view(), .spread = spread.view(), .parts = {1, {6}}}, s); }, "[adapter_spread] spread: want (6, 2) fp32");
  expect_refused([&] { adapter_spread({.b = b.view(), .spread = spread.view(), .parts = {2, {3, 5}}}, s); }, "end at row 5 of 6");
  expect_refused([&] { adapter_spread({.b = b.view(), .spread = spread.view(), .parts = {2, {7, 6}}}, s); }, "part 1 ends at row 6");
  expect_refused([&] { adapter_spread({.b = b.view(), .spread = spread.view(), .parts = {4, {}}}, s); }, "4 parts");
  expect_refused([&] { adapter_spread({.b = half.view(), .spread = half.view(), .parts = {1, {6}}}, s); }, "[adapter_spread] b");
  expect_refused([&] { adapter_gather({.dspread = b.view(), .db = b.view(), .parts = {2, {3, 6}}}, s); }, "[adapter_gather] dspread: want (6, 4) fp32");
}

}  // namespace
}  // namespace tw
