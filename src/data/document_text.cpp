#include "src/data/document_text.h"

#include <algorithm>

#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"
#include "src/data/formats/format.h"

namespace tw {

bool cuts_are_certain(const TextTokenizer& tokenizer) {
  const TokenizerSpec& spec = tokenizer.spec();
  if (spec.units != TokenizerSpec::Units::bytes || spec.prefix != TokenizerSpec::Prefix::none || !spec.charsmap.empty() ||
      spec.collapse_spaces || spec.rule == SplitRule::none || spec.rule == SplitRule::each_space)
    return false;
  // A token that stands wherever its text does could reach over a line's end.
  for (const AddedToken& token : spec.added)
    if (!token.special && (token.text.find('\n') != token.text.npos || token.left_space || token.right_space)) return false;
  return true;
}

bool read_document(const std::filesystem::path& folder, const ScannedFile& file, bool certain_cuts, size_t block,
                   const std::function<void(std::string_view)>& take) {
  const Format* format = format_of_kind(file.kind);
  const auto encoding = encoding_of(file.encoding);
  TW_CHECK(format && encoding, data, "{}: kind \"{}\" or encoding \"{}\" is not known", file.path, file.kind, file.encoding);
  TextReader reader(folder / file.path, *encoding);
  std::string text;
  bool given = false;
  size_t searched = 0;  // no certain cut lies before
  format->extract(reader, [&](std::string_view piece) {
    text += piece;
    while (text.size() > block) {
      size_t cut = 0;
      if (certain_cuts) {
        cut = next_certain_start(text, std::max(block, searched) - 1);
        searched = text.size();
        if (cut == text.size()) cut = 0;
      }
      if (cut == 0 && text.size() >= kMaxTextBlock) {
        cut = kMaxTextBlock;
        while (cut + 4 > kMaxTextBlock && cut < text.size() && (text[cut] & 0xC0) == 0x80) --cut;  // whole characters
      }
      if (cut == 0) break;
      take(std::string_view(text).substr(0, cut));
      given = true;
      text.erase(0, cut);
      searched = 0;
    }
  });
  const bool same = reader.sha256() == file.sha256;
  TW_CHECK(same || !given, data, "{} changed while it was read: scan the folder again", (folder / file.path).string());
  if (!same) return false;
  if (!text.empty()) take(text);
  return true;
}

}  // namespace tw
