#include "src/codec/text/unicode.h"

#include <unicode/uchar.h>

#include <map>

namespace tw {

const UnicodeClasses& UnicodeClasses::get() {
  static const UnicodeClasses classes;
  return classes;
}

UnicodeClasses::UnicodeClasses() {
  std::vector<CharClass> flat(0x110000, CharClass::other);
  // The callback gets each run [start, limit) of one general category.
  u_enumCharTypes(
      [](const void* context, UChar32 start, UChar32 limit, UCharCategory category) -> UBool {
        auto& all = *static_cast<std::vector<CharClass>*>(const_cast<void*>(context));
        const uint32_t bit = U_MASK(category);
        const CharClass type = bit & U_GC_L_MASK   ? CharClass::letter
                               : bit & U_GC_N_MASK ? CharClass::number
                                                   : CharClass::other;
        for (UChar32 c = start; c < limit; ++c) all[size_t(c)] = type;
        return true;
      },
      &flat);
  // White_Space has 25 members, all below U+3001.
  for (UChar32 c = 0; c <= 0x3000; ++c)
    if (u_isUWhiteSpace(c)) flat[size_t(c)] = CharClass::space;
  std::map<Page, uint16_t> known;
  for (size_t p = 0; p < page_.size(); ++p) {
    Page page;
    for (size_t i = 0; i < 256; ++i) page[i] = flat[p * 256 + i];
    const auto [it, fresh] = known.emplace(page, uint16_t(pages_.size()));
    if (fresh) pages_.push_back(page);
    page_[p] = it->second;
  }
}

}  // namespace tw
