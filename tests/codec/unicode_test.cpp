#include "src/codec/text/unicode.h"

#include <gtest/gtest.h>

#include <array>

namespace tw {
namespace {

// Counts of DerivedGeneralCategory.txt and PropList.txt 16.0.0, whatever version the machine's ICU has.
TEST(UnicodeClasses, AreThoseOfUnicode16) {
  std::array<int, 4> count{};
  for (char32_t c = 0; c < 0x110000; ++c) ++count[size_t(UnicodeClasses::get().of(c))];
  EXPECT_EQ(count[size_t(CharClass::letter)], 141028);
  EXPECT_EQ(count[size_t(CharClass::number)], 1911);
  EXPECT_EQ(count[size_t(CharClass::space)], 25);
  EXPECT_EQ(UnicodeClasses::get().of(0x140B7), CharClass::letter) << "a hieroglyph of Unicode 16";
  EXPECT_EQ(UnicodeClasses::get().of(0x2EBF0), CharClass::letter) << "an ideograph of Unicode 15.1";
  EXPECT_EQ(UnicodeClasses::get().of(0x088F), CharClass::other) << "a letter since Unicode 17 alone";
}

}  // namespace
}  // namespace tw
