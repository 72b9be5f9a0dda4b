#include "src/data/language.h"

#include <cld2/public/compact_lang_det.h>

#include "src/core/utf8.h"

namespace tw {

std::string language_of(std::string_view text) {
  text = text.substr(0, kLanguageText);
  for (int back = 0; back < 3 && !text.empty() && !is_utf8(text.substr(text.size() - std::min<size_t>(text.size(), 4))); ++back) text.remove_suffix(1);
  bool reliable = false;
  const CLD2::Language language = CLD2::DetectLanguage(text.data(), int(text.size()), true, &reliable);
  if (!reliable || language == CLD2::UNKNOWN_LANGUAGE) return "";
  std::string code = CLD2::LanguageCode(language);
  // Old codes, and variants of script.
  if (code == "iw") code = "he";
  if (code == "jw") code = "jv";
  code = code.substr(0, code.find('-'));
  return code == "un" || code == "xxx" ? "" : code;
}

}  // namespace tw
