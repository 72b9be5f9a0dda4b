#include "src/core/utf8.h"

#include <gtest/gtest.h>

namespace tw {
namespace {

std::string bytes_of(uint32_t packed, int n) {
  std::string s;
  for (int i = n - 1; i >= 0; --i) s += char(packed >> (8 * i));
  return s;
}

TEST(Utf8, EveryCodePointGoesThereAndBack) {
  int lengths[5] = {};
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    std::string text;
    append_utf8(text, c);
    char32_t back = 0;
    ASSERT_EQ(decode_utf8(text, back), int(text.size())) << uint32_t(c);
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    ASSERT_EQ(back, surrogate ? char32_t(0xFFFD) : c);
    if (!surrogate) ++lengths[text.size()];
  }
  EXPECT_EQ(lengths[1], 0x80);
  EXPECT_EQ(lengths[2], 0x800 - 0x80);
  EXPECT_EQ(lengths[3], 0x10000 - 0x800 - 0x800);
  EXPECT_EQ(lengths[4], 0x100000);
}

// Of all texts of 1, 2 and 3 bytes, exactly those count as one character that some code point is written as; the same
// for 4 bytes at the edges of each byte's range.
TEST(Utf8, NothingElseIsACharacter) {
  const auto check = [](const std::string& text) {
    char32_t c = 0;
    const bool one = decode_utf8(text, c) == int(text.size());
    std::string again;
    if (one) append_utf8(again, c);
    return !one || again == text;  // a long form would come back shorter, a surrogate as U+FFFD
  };
  int found[4] = {};
  for (int n = 1; n <= 3; ++n)
    for (uint32_t u = 0; u < 1u << (8 * n); ++u) {
      const std::string text = bytes_of(u, n);
      if (utf8_length(text.data(), text.size()) == n) ++found[n];
      if (n == 3 && u % 7 != 0) continue;  // enough of them
      ASSERT_TRUE(check(text)) << u;
    }
  EXPECT_EQ(found[1], 0x80);
  EXPECT_EQ(found[2], 0x800 - 0x80);
  EXPECT_EQ(found[3], 0x10000 - 0x800 - 0x800);
  for (uint32_t a = 0xEF; a <= 0xFF; ++a)
    for (uint32_t b : {0x00, 0x7F, 0x80, 0x8F, 0x90, 0xBF, 0xC0})
      for (uint32_t c : {0x7F, 0x80, 0xBF, 0xC0})
        for (uint32_t d : {0x7F, 0x80, 0xBF, 0xC0}) ASSERT_TRUE(check(bytes_of(a << 24 | b << 16 | c << 8 | d, 4)));
}

TEST(Utf8, ACutCharacterIsToldFromAWrongOne) {
  for (const std::string whole : {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"})
    for (size_t n = 1; n < whole.size(); ++n) {
      EXPECT_EQ(utf8_length(whole.data(), n), -1) << n;
      const std::string broken = whole.substr(0, n) + "x";
      EXPECT_EQ(utf8_length(broken.data(), broken.size()), 0) << n;
    }
  EXPECT_EQ(utf8_length("\xE0\x80", 2), 0);  // a long form is wrong before it ends
  EXPECT_EQ(utf8_length("\xED\xA0", 2), 0);  // so is a surrogate
  EXPECT_EQ(utf8_length("\xF4\x90", 2), 0);
  EXPECT_EQ(utf8_length("\x80", 1), 0);
}

TEST(Utf8, ADamagedByteIsFoundAnywhere) {
  const std::string text = "plain text of some length, caf\xC3\xA9, \xE2\x82\xAC and \xF0\x9F\x98\x80 at the end";
  EXPECT_TRUE(is_utf8(text));
  EXPECT_TRUE(is_utf8(""));
  for (size_t i = 0; i < text.size(); ++i) {
    std::string bad = text;
    bad[i] = '\xFF';
    EXPECT_FALSE(is_utf8(bad)) << i;
  }
  EXPECT_FALSE(is_utf8("cut \xE2\x82"));
}

}  // namespace
}  // namespace tw
