#include "src/codec/text/spm_normalizer.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "src/codec/text/spec.h"
#include "src/core/error.h"
#include "src/core/utf8.h"

namespace tw {
namespace {

static_assert(std::endian::native == std::endian::little, "the map is little-endian");

struct Rules {
  std::string_view units, texts;

  explicit Rules(std::string_view charsmap) {
    if (charsmap.empty()) return;
    uint32_t bytes;
    std::memcpy(&bytes, charsmap.data(), 4);
    units = charsmap.substr(4, bytes);
    texts = charsmap.substr(4 + size_t(bytes));
  }
  bool unit(uint64_t at, uint32_t& value) const noexcept {
    if (at >= units.size() / 4) return false;
    std::memcpy(&value, units.data() + at * 4, 4);
    return true;
  }
  // Longest rule that matches the text's start: bytes matched (0 = none) and its replacement.
  // The unit of darts-clone: label in bits 0-7 and 31, has-leaf in 8, offset in 10-30, its scale in 9.
  size_t match(std::string_view text, std::string_view& replacement) const noexcept {
    const auto offset = [](uint32_t u) { return uint64_t(u >> 10) << ((u & (1u << 9)) >> 6); };
    uint32_t u;
    if (!unit(0, u)) return 0;
    uint64_t node = offset(u);
    size_t matched = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto c = uint8_t(text[i]);
      node ^= c;
      if (!unit(node, u) || (u & (1u << 31 | 0xFF)) != c) break;
      node ^= offset(u);
      if (!(u >> 8 & 1)) continue;
      uint32_t leaf;
      if (!unit(node, leaf)) break;
      const size_t begin = leaf & 0x7FFFFFFFu;
      if (begin >= texts.size()) break;
      const size_t end = texts.find('\0', begin);
      if (end == std::string_view::npos) break;
      matched = i + 1;
      replacement = texts.substr(begin, end - begin);
    }
    return matched;
  }
};

}  // namespace

void check_charsmap(std::string_view charsmap, const std::string& file) {
  if (charsmap.empty()) return;
  uint32_t bytes = 0;
  if (charsmap.size() >= 4) std::memcpy(&bytes, charsmap.data(), 4);
  TW_CHECK(charsmap.size() > 4 && bytes % 4 == 0 && bytes < charsmap.size() - 4, data,
           "{}: normalizer_spec.precompiled_charsmap is damaged", file);
}

std::string spm_normalize(std::string_view text, std::string_view charsmap, bool collapse_spaces,
                          const KeptLength& keep) {
  const Rules rules(charsmap);
  std::string out;
  out.reserve(text.size());
  bool after_space = collapse_spaces;
  for (size_t i = 0; i < text.size();) {
    std::string_view piece;
    size_t n = keep ? keep(text.substr(i)) : 0;
    if (n > 0) {
      piece = text.substr(i, n);
    } else if (n = rules.match(text.substr(i), piece); !n) {
      n = size_t(std::max(1, utf8_length(text.data() + i, text.size() - i)));
      piece = text.substr(i, n);
    }
    i += n;
    if (after_space)
      while (!piece.empty() && piece.front() == ' ') piece.remove_prefix(1);
    if (!piece.empty()) {
      out += piece;
      after_space = collapse_spaces && piece.back() == ' ';
    }
  }
  if (collapse_spaces)
    for (;;) {  // its own marks as well, which it takes for spaces here
      if (out.ends_with(' ')) out.pop_back();
      else if (out.ends_with(kSpaceMark)) out.resize(out.size() - kSpaceMark.size());
      else break;
    }
  return out;
}

}  // namespace tw
