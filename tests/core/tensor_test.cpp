#include "src/core/tensor.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace tw {
namespace {

static_assert(std::is_trivially_copyable_v<View> && std::is_trivially_copyable_v<ConstView>);  // goes into kernels
static_assert(std::is_convertible_v<View, ConstView> && !std::is_convertible_v<ConstView, View>);
static_assert(!std::is_copy_constructible_v<Tensor> && std::is_nothrow_move_constructible_v<Tensor>);

template <class Call>
void expect_bug(Call&& call) {
  try {
    call();
    ADD_FAILURE() << "not refused";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::bug) << e.what();
  }
}

TEST(Shape, CountsAndPrints) {
  EXPECT_EQ(Shape{}.count(), 1);
  EXPECT_EQ(Shape{}.str(), "()");
  EXPECT_EQ((Shape{2, 3, 4, 5}.count()), 120);
  EXPECT_EQ((Shape{4, 0}.count()), 0);
  EXPECT_EQ((Shape{4, 8}.str()), "(4, 8)");
  EXPECT_EQ((Shape{4, 8}), (Shape{4, 8}));
  EXPECT_NE((Shape{4, 8}), (Shape{4, 8, 1}));
  EXPECT_NE((Shape{4, 8}), (Shape{8, 4}));
  expect_bug([] { Shape{1, 1, 1, 1, 1}; });
  expect_bug([] { Shape{2, -1}; });
}

TEST(Tensor, StartsAtZeroAndKeepsItsMemoryWhenMoved) {
  for (int64_t n : {int64_t(1), int64_t(1000), int64_t(1) << 19}) {  // the last one comes from mmap
    Tensor a({n}, DType::fp32);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a.as<float>()) % 64, 0u);
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(a.as<float>()[i], 0.0f);
    a.as<float>()[n - 1] = 5;
    const void* where = a.view().data;
    const Tensor b(std::move(a));
    EXPECT_EQ(b.view().data, where);
    EXPECT_EQ(b.as<float>()[n - 1], 5.0f);
    EXPECT_EQ(a.count(), 0);
  }
}

TEST(Tensor, EveryMemoryIsCounted) {
  const int64_t before = allocation_count();
  const Tensor a({3}, DType::u8), none({0}, DType::fp32);
  EXPECT_EQ(allocation_count(), before + 1);
  EXPECT_EQ(none.count(), 0);
}

TEST(View, TypesAreChecked) {
  Tensor t({2, 3}, DType::i32);
  EXPECT_EQ(t.view().as<int32_t>(), static_cast<int32_t*>(t.view().data));
  expect_bug([&] { t.as<float>(); });
  EXPECT_EQ(t.view().bytes(), 24u);
  EXPECT_FALSE(View{});
  EXPECT_EQ(View{}.count(), 0);
}

TEST(View, RowsAndFlatPartsStayInside) {
  Tensor t({4, 2, 3}, DType::i32);
  for (int i = 0; i < 24; ++i) t.as<int32_t>()[i] = i;
  const View rows = t.view().rows(1, 3);
  EXPECT_EQ(rows.shape, Shape({2, 2, 3}));
  EXPECT_EQ(rows.as<int32_t>()[0], 6);
  EXPECT_EQ(t.view().flat(5, 9).shape, Shape({4}));
  EXPECT_EQ(t.view().flat(5, 9).as<int32_t>()[3], 8);
  EXPECT_EQ(t.view().rows(4, 4).shape, Shape({0, 2, 3}));
  EXPECT_EQ(t.view().reshape({6, 4}).rows(5, 6).as<int32_t>()[0], 20);
  expect_bug([&] { t.view().rows(3, 5); });
  expect_bug([&] { t.view().rows(-1, 2); });
  expect_bug([&] { t.view().rows(3, 2); });
  expect_bug([&] { t.view().flat(20, 25); });
  expect_bug([&] { t.view().flat(-1, 2); });
  expect_bug([&] { t.view().reshape({5, 5}); });
  expect_bug([&] { View{t.view().data, DType::i32, Shape{}}.rows(0, 1); });  // a scalar has no rows
}

}  // namespace
}  // namespace tw
