// UTF-8: the one place that knows its rules (Unicode 15, table 3-7: well-formed byte sequences).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tw {

// Length of the valid character at `p` (1 to 4), 0 where there is none, -1 where the text ends within one.
// left > 0.
inline int utf8_length(const char* text, size_t left) noexcept {
  const auto* p = reinterpret_cast<const unsigned char*>(text);
  const unsigned c = p[0];
  if (c < 0x80) return 1;
  const int n = c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
  if (n == 0) return 0;
  // The second byte rules out long forms, surrogates and what lies beyond U+10FFFF.
  const unsigned low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80, high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
  for (int i = 1; i < n; ++i) {
    if (size_t(i) >= left) return -1;
    if (p[i] < (i == 1 ? low : 0x80) || p[i] > (i == 1 ? high : 0xBF)) return 0;
  }
  return n;
}

// Length of the valid character at the start of `text` (not empty) and its code point, or 0 where there is none.
inline int decode_utf8(std::string_view text, char32_t& code) noexcept {
  const int n = utf8_length(text.data(), text.size());
  const auto byte = [&](int i) { return char32_t(static_cast<unsigned char>(text[size_t(i)])); };
  switch (n) {
    case 1: code = byte(0); break;
    case 2: code = (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F); break;
    case 3: code = (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F); break;
    case 4: code = (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F); break;
    default: return 0;
  }
  return n;
}

std::string ascii_lower(std::string_view text);  // A to Z as a to z, all else as it is

// U+FFFD where `code` is a surrogate or beyond U+10FFFF.
void append_utf8(std::string& out, char32_t code);
bool is_utf8(std::string_view text) noexcept;
char32_t windows_1252(unsigned char byte) noexcept;   // the character of a byte (WHATWG Encoding Standard)
// What is UTF-8 as it is, all else as Windows-1252, which Latin-1 is a part of.
std::string utf8_or_windows_1252(std::string_view bytes);
std::string repaired_utf8(std::string_view bytes);  // with U+FFFD for each byte that begins no valid character

}  // namespace tw
