#include "src/core/handle.h"

#include <gtest/gtest.h>

#include <type_traits>
#include <vector>

namespace tw {
namespace {

std::vector<int> closed;
struct Traits {
  using type = int;
  static int invalid() noexcept { return -1; }
  static void close(int value) noexcept { closed.push_back(value); }
};
using Number = Handle<Traits>;
static_assert(!std::is_copy_constructible_v<Number> && !std::is_copy_assignable_v<Number>);
static_assert(std::is_nothrow_move_constructible_v<Number> && std::is_nothrow_move_assignable_v<Number>);

TEST(Handle, ClosesOnceWhateverMoves) {
  closed.clear();
  {
    Number a(1), b(2), empty;
    EXPECT_FALSE(empty);
    Number c(std::move(a));
    EXPECT_FALSE(a);
    EXPECT_EQ(c.get(), 1);
    b = std::move(c);  // 2 is closed here
    EXPECT_EQ(closed, std::vector<int>{2});
    Number& self = b;
    b = std::move(self);
    EXPECT_EQ(b.get(), 1);
  }
  EXPECT_EQ(closed, (std::vector<int>{2, 1}));
}

TEST(Handle, ReleaseGivesUpResetCloses) {
  closed.clear();
  {
    Number a(3), b(0);
    EXPECT_EQ(a.release(), 3);
    b.reset();  // 0 is a value like any other
    b.reset();
  }
  EXPECT_EQ(closed, std::vector<int>{0});
}

}  // namespace
}  // namespace tw
