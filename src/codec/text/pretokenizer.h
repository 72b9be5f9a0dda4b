// Pre-tokenizer rules: where a text is cut before tokens are merged. Hand-written scanners for the
// published patterns; a piece is found in time linear in its length.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "src/codec/text/unicode.h"

namespace tw {

enum class SplitRule : uint8_t {
  none,         // no cut
  gpt2,         // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  cl100k,       // as llama3, but white space that ends the text is one piece (tiktoken's \s++$)
  llama3,       // (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
                //   \s*[\r\n]+|\s+(?!\S)|\s+
  qwen2,        // as llama3, with \p{N} in place of \p{N}{1,3}
  each_space    // before every space (or U+2581)
};

std::string_view rule_name(SplitRule rule) noexcept;                       // "gpt2"
std::optional<SplitRule> rule_by_name(std::string_view name) noexcept;
// The rule of a regular expression as tokenizer.json or tiktoken writes it, if it is a known one.
std::optional<SplitRule> rule_by_pattern(std::string_view pattern) noexcept;
std::string_view rule_pattern(SplitRule rule) noexcept;                    // for Hugging Face (Oniguruma)

namespace pieces {

// Length of an English contraction's ending at i (an apostrophe), apostrophe included, or 0.
template <bool kAnyCase>
size_t contraction(const Glyphs& g, size_t i) noexcept {
  const auto letter = [&](size_t j) -> unsigned char {
    if (j >= g.size()) return 0;
    const unsigned char c = g.byte(j);
    return kAnyCase && c >= 'A' && c <= 'Z' ? c + 32 : c;
  };
  const unsigned char a = letter(i + 1), b = letter(i + 2);
  if (a == 's' || a == 'd' || a == 'm' || a == 't') return 2;
  if ((a == 'l' && b == 'l') || (a == 'v' && b == 'e') || (a == 'r' && b == 'e')) return 3;
  // U+017F, the long s, folds to s.
  if (kAnyCase && a == 0xC5 && b == 0xBF) return 3;
  return 0;
}

// White space [i, end) of which a following word keeps the last character: `\s+(?!\S)|\s`.
inline size_t leave_last(const Glyphs& g, size_t i, size_t end) noexcept {
  if (end == g.size()) return end;
  size_t last = end - 1;
  while (last > i && (g.byte(last) & 0xC0) == 0x80) --last;
  return last > i ? last : end;
}

inline size_t gpt2(const Glyphs& g, size_t i) noexcept {
  if (g.byte(i) == '\'')
    if (const size_t n = contraction<false>(g, i)) return i + n;
  const Glyph first = g.at(i);
  if (first.type != CharClass::space) return g.run(i + first.bytes, first.type);
  if (g.byte(i) == ' ' && i + 1 < g.size()) {
    const Glyph second = g.at(i + 1);
    if (second.type != CharClass::space) return g.run(i + 1 + second.bytes, second.type);
  }
  return leave_last(g, i, g.run(i + first.bytes, CharClass::space));
}

template <bool kWholeEnd, size_t kDigits>
size_t llama3(const Glyphs& g, size_t i) noexcept {
  const unsigned char c = g.byte(i);
  if (c == '\'')
    if (const size_t n = contraction<true>(g, i)) return i + n;
  const Glyph first = g.at(i);
  const size_t next = i + first.bytes;
  if (first.type == CharClass::letter) return g.run(next, CharClass::letter);
  if (first.type == CharClass::number) {
    size_t j = next;
    for (size_t digits = 1; digits < kDigits && j < g.size(); ++digits) {
      const Glyph d = g.at(j);
      if (d.type != CharClass::number) break;
      j += d.bytes;
    }
    return j;
  }
  if (next < g.size() && c != '\r' && c != '\n') {
    const Glyph second = g.at(next);
    if (second.type == CharClass::letter) return g.run(next + second.bytes, CharClass::letter);
    if (c == ' ' && second.type == CharClass::other) goto others;
  }
  if (first.type == CharClass::other) {
  others:
    size_t j = g.run(c == ' ' ? i + 1 : i, CharClass::other);
    while (j < g.size() && (g.byte(j) == '\n' || g.byte(j) == '\r')) ++j;
    return j;
  }
  const size_t end = g.run(next, CharClass::space);
  if (kWholeEnd && end == g.size()) return end;
  for (size_t j = end; j > i; --j)
    if (g.byte(j - 1) == '\n' || g.byte(j - 1) == '\r') return j;
  return leave_last(g, i, end);
}

inline bool is_space_mark(const Glyphs& g, size_t i) noexcept {
  return g.byte(i) == ' ' ||
         (g.byte(i) == 0xE2 && i + 2 < g.size() && g.byte(i + 1) == 0x96 && g.byte(i + 2) == 0x81);
}

inline size_t each_space(const Glyphs& g, size_t i) noexcept {
  size_t j = i + g.at(i).bytes;
  while (j < g.size() && !is_space_mark(g, j)) j += g.at(j).bytes;
  return j;
}

}  // namespace pieces

// End of the piece that starts at byte i < g.size().
template <SplitRule kRule>
size_t next_piece(const Glyphs& g, size_t i) noexcept {
  if constexpr (kRule == SplitRule::gpt2) return pieces::gpt2(g, i);
  if constexpr (kRule == SplitRule::cl100k) return pieces::llama3<true, 3>(g, i);
  if constexpr (kRule == SplitRule::llama3) return pieces::llama3<false, 3>(g, i);
  if constexpr (kRule == SplitRule::qwen2) return pieces::llama3<false, 1>(g, i);
  if constexpr (kRule == SplitRule::each_space) return pieces::each_space(g, i);
  return g.size();
}

// Calls visit(begin, end) for the pieces that start in [begin, end) of the text; `begin` must be the start of a piece.
template <class Visit>
void for_each_piece(SplitRule rule, std::string_view text, size_t begin, size_t end, Visit&& visit) {
  const Glyphs g(text);
  const auto walk = [&]<SplitRule kRule>() {
    for (size_t i = begin; i < end;) {
      const size_t j = next_piece<kRule>(g, i);
      visit(i, j);
      i = j;
    }
  };
  switch (rule) {
    case SplitRule::none: return walk.template operator()<SplitRule::none>();
    case SplitRule::gpt2: return walk.template operator()<SplitRule::gpt2>();
    case SplitRule::cl100k: return walk.template operator()<SplitRule::cl100k>();
    case SplitRule::llama3: return walk.template operator()<SplitRule::llama3>();
    case SplitRule::qwen2: return walk.template operator()<SplitRule::qwen2>();
    case SplitRule::each_space: return walk.template operator()<SplitRule::each_space>();
  }
}

// The first place at or after `from` where a piece starts under every rule but `none` and `each_space`, whatever
// comes before: a visible ASCII character after a line feed. text.size() where there is none.
size_t next_certain_start(std::string_view text, size_t from) noexcept;

}  // namespace tw
