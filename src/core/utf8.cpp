#include "src/core/utf8.h"

#include <array>
#include <cstring>

namespace tw {

std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = char(c + 32);
  return out;
}

void append_utf8(std::string& out, char32_t c) {
  if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) c = 0xFFFD;
  if (c < 0x80) {
    out += char(c);
  } else if (c < 0x800) {
    out += {char(0xC0 | c >> 6), char(0x80 | (c & 63))};
  } else if (c < 0x10000) {
    out += {char(0xE0 | c >> 12), char(0x80 | (c >> 6 & 63)), char(0x80 | (c & 63))};
  } else {
    out += {char(0xF0 | c >> 18), char(0x80 | (c >> 12 & 63)), char(0x80 | (c >> 6 & 63)), char(0x80 | (c & 63))};
  }
}

bool is_utf8(std::string_view text) noexcept {
  for (size_t i = 0; i < text.size();) {
    uint64_t word;
    if (i + 8 <= text.size() && (std::memcpy(&word, text.data() + i, 8), (word & 0x8080808080808080u) == 0)) {
      i += 8;
      continue;
    }
    const int n = utf8_length(text.data() + i, text.size() - i);
    if (n <= 0) return false;
    i += size_t(n);
  }
  return true;
}

std::string repaired_utf8(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    char32_t code;
    const int n = decode_utf8(bytes, code);
    append_utf8(text, n > 0 ? code : char32_t(0xFFFD));
    bytes.remove_prefix(n > 0 ? size_t(n) : 1);
  }
  return text;
}

char32_t windows_1252(unsigned char byte) noexcept {
  // 0x80 to 0x9F (index windows-1252).
  constexpr std::array<uint16_t, 32> kMiddle = {
      0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008D, 0x017D, 0x008F,
      0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178};
  return byte >= 0x80 && byte < 0xA0 ? kMiddle[size_t(byte - 0x80)] : byte;
}

std::string utf8_or_windows_1252(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string out;
  for (const char c : bytes) append_utf8(out, windows_1252(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace tw
