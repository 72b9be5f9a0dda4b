// The three Unicode classes that pre-tokenizer rules ask for: \p{L}, \p{N} and \s, of Unicode 16.0.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "src/core/utf8.h"

namespace tw {

enum class CharClass : uint8_t { other, letter, number, space };

// Two-level table over all code points, made once from ICU; no ICU call after that.
class UnicodeClasses {
 public:
  static const UnicodeClasses& get();
  CharClass of(char32_t code) const noexcept { return pages_[page_[code >> 8]][code & 255]; }

 private:
  UnicodeClasses();
  using Page = std::array<CharClass, 256>;
  std::array<uint16_t, 0x1100> page_{};
  std::vector<Page> pages_;
};

// One character of a text that need not be UTF-8: a byte that begins no sequence is a character
// of one byte and class `other`.
struct Glyph {
  CharClass type;
  uint32_t bytes;
};

inline constexpr std::array<CharClass, 128> kAsciiClass = [] {
  std::array<CharClass, 128> t{};
  for (int c = 'a'; c <= 'z'; ++c) t[c] = t[c - 32] = CharClass::letter;
  for (int c = '0'; c <= '9'; ++c) t[c] = CharClass::number;
  for (int c : {9, 10, 11, 12, 13, 32}) t[c] = CharClass::space;
  return t;
}();

// Characters and runs of a text by class.
class Glyphs {
 public:
  explicit Glyphs(std::string_view text) noexcept
      : s_(text.data()), n_(text.size()), classes_(UnicodeClasses::get()) {}
  size_t size() const noexcept { return n_; }
  unsigned char byte(size_t i) const noexcept { return static_cast<unsigned char>(s_[i]); }
  std::string_view text(size_t begin, size_t end) const noexcept { return {s_ + begin, end - begin}; }
  Glyph at(size_t i) const noexcept {
    const unsigned char c = byte(i);
    if (c < 0x80) [[likely]] return {kAsciiClass[c], 1};
    char32_t code;
    const int bytes = decode_utf8({s_ + i, n_ - i}, code);
    return bytes ? Glyph{classes_.of(code), uint32_t(bytes)} : Glyph{CharClass::other, 1};
  }
  // End of the run of `type` that starts at i; i itself where there is none.
  size_t run(size_t i, CharClass type) const noexcept {
    while (i < n_) {
      const Glyph g = at(i);
      if (g.type != type) break;
      i += g.bytes;
    }
    return i;
  }

 private:
  const char* s_;
  size_t n_;
  const UnicodeClasses& classes_;
};

}  // namespace tw
