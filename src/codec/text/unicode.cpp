#include "src/codec/text/unicode.h"

#include <unicode/uchar.h>

#include <map>

namespace tw {
namespace {

struct Run {
  UChar32 first, last;
  CharClass type;
};
constexpr CharClass L = CharClass::letter, N = CharClass::number;
// What Unicode 15.1 and 16.0 added to 15.0, the version of ICU 72 (DerivedAge.txt, DerivedGeneralCategory.txt).
constexpr Run kAdded[] = {
    {0x1C89, 0x1C8A, L},   {0xA7CB, 0xA7CD, L},   {0xA7DA, 0xA7DC, L},   {0x105C0, 0x105F3, L}, {0x10D40, 0x10D49, N},
    {0x10D4A, 0x10D65, L}, {0x10D6F, 0x10D85, L}, {0x10EC2, 0x10EC4, L}, {0x11380, 0x11389, L}, {0x1138B, 0x1138B, L},
    {0x1138E, 0x1138E, L}, {0x11390, 0x113B5, L}, {0x113B7, 0x113B7, L}, {0x113D1, 0x113D1, L}, {0x113D3, 0x113D3, L},
    {0x116D0, 0x116E3, N}, {0x11BC0, 0x11BE0, L}, {0x11BF0, 0x11BF9, N}, {0x13460, 0x143FA, L}, {0x16100, 0x1611D, L},
    {0x16130, 0x16139, N}, {0x16D40, 0x16D6C, L}, {0x16D70, 0x16D79, N}, {0x18CFF, 0x18CFF, L}, {0x1CCF0, 0x1CCF9, N},
    {0x1E5D0, 0x1E5ED, L}, {0x1E5F0, 0x1E5F0, L}, {0x1E5F1, 0x1E5FA, N}, {0x2EBF0, 0x2EE5D, L}};

}  // namespace

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
  // The same ids on every machine: classes are those of Unicode 16.0, which tiktoken and tokenizers take.
  for (const Run& run : kAdded)
    for (UChar32 c = run.first; c <= run.last; ++c) flat[size_t(c)] = run.type;
  for (UChar32 c = 0; c < 0x110000; ++c) {
    if (flat[size_t(c)] == CharClass::other) continue;
    UVersionInfo age;
    u_charAge(c, age);
    if (age[0] > 16) flat[size_t(c)] = CharClass::other;
  }
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
