#include "src/core/arena.h"

#include <gtest/gtest.h>

#include "src/core/error.h"

namespace tw {
namespace {

uintptr_t address(const View& v) { return reinterpret_cast<uintptr_t>(v.data); }

TEST(Arena, BlocksAreAlignedZeroAndApart) {
  ArenaPlan plan;
  const int a = plan.add("weights", "a", {3, 5}, DType::fp32), b = plan.add("weights", "b", {1}, DType::u8),
            c = plan.add("optimizer", "c", {7}, DType::fp64);
  const int64_t before = allocation_count();
  const Arena arena(plan, Device{});
  EXPECT_EQ(allocation_count(), before + 1);
  uintptr_t end = 0;
  for (int id : {a, b, c}) {
    const View v = arena.view(id);
    EXPECT_EQ(address(v) % 64, 0u);
    EXPECT_EQ((address(v) - address(arena.view(a))) % 256, 0u);
    EXPECT_GE(address(v), end);
    end = address(v) + v.bytes();
    for (size_t i = 0; i < v.bytes(); ++i) ASSERT_EQ(static_cast<const char*>(v.data)[i], 0);
  }
  EXPECT_LE(end, address(arena.view(a)) + arena.bytes());
  EXPECT_EQ(arena.view(a).shape, Shape({3, 5}));
  EXPECT_EQ(arena.view(c).dtype, DType::fp64);
}

TEST(Arena, SharedBlocksLieInOnePlaceAsLargeAsTheLargest) {
  ArenaPlan plan;
  const int small = plan.add_shared("scratch", "wide", "small", {10}, DType::fp32),
            large = plan.add_shared("scratch", "wide", "large", {1000}, DType::fp32),
            other = plan.add_shared("scratch", "narrow", "other", {10}, DType::fp32);
  const Arena arena(plan, Device{});
  EXPECT_EQ(arena.view(small).data, arena.view(large).data);
  EXPECT_GE(address(arena.view(other)), address(arena.view(large)) + arena.view(large).bytes());
  EXPECT_EQ(plan.bytes(), 4096u + 256u);
}

TEST(Arena, GroupsAddUpToTheWhole) {
  ArenaPlan plan;
  plan.add("weights", "a", {100}, DType::bf16);
  plan.add("optimizer", "m", {100}, DType::fp32);
  plan.add_shared("scratch", "s", "x", {100}, DType::fp32);
  EXPECT_EQ(plan.bytes_of("weights") + plan.bytes_of("optimizer") + plan.bytes_of("scratch"), plan.bytes());
  EXPECT_EQ(plan.bytes_of("nothing"), 0u);
  for (const char* row : {"weights", "optimizer", "scratch", "arena"})
    EXPECT_NE(plan.table().find(row), std::string::npos) << plan.table();
}

TEST(Arena, UnknownBlocksAreRefused) {
  ArenaPlan plan;
  plan.add("weights", "a", {1}, DType::u8);
  const Arena arena(plan, Device{});
  EXPECT_THROW(arena.view(1), Error);
  EXPECT_THROW(arena.view(-1), Error);
}

}  // namespace
}  // namespace tw
