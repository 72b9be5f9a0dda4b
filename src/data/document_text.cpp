#include "src/data/document_text.h"

#include <algorithm>

#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"
#include "src/data/embeds.h"
#include "src/data/formats/format.h"
#include "src/data/formats/packed.h"

namespace tw {
namespace {

class Taker final : public DocumentSink {
 public:
  Taker(const ScannedFile& file, const PersonalMask& mask, const std::function<void(std::string_view)>& take,
        const std::function<void()>& document_end, const std::function<void(std::string_view)>& turn, const std::function<bool(const std::string&, bool)>& embed)
      : path_(file.path), most_(2 * file.text_bytes + kSlack), take_(take), document_end_(document_end), turn_(turn), embed_(embed), masks_(!mask.empty()), personal_(mask, take) {}
  void text(std::string_view piece) override {
    // Another version of a library may read a little more; memory is planned for what was scanned.
    TW_CHECK(int64_t(piece.size()) <= most_, data, "it has much more text than was scanned: scan the folder again");
    most_ -= int64_t(piece.size());
    if (masks_) personal_.feed(piece);
    else take_(piece);
  }
  void end_document() override {
    end();
    document_end_();
  }
  void turn(std::string_view role, bool first) override {
    if (!turn_) return DocumentSink::turn(role, first);
    end();
    turn_(role);
  }
  void embed(std::string_view target, std::string_view said, std::string_view literal) override {
    const std::string path = embed_ ? linked_path(path_, target) : "";
    if (path.empty()) return text(literal);
    if (!embed_(path, false)) return text(literal);
    text(said);
    end();
    embed_(path, true);
  }
  void end() {
    if (masks_) personal_.end();
  }

 private:
  static constexpr int64_t kSlack = 1 << 20;
  const std::string& path_;
  int64_t most_;
  const std::function<void(std::string_view)>& take_;
  const std::function<void()>& document_end_;
  const std::function<void(std::string_view)>& turn_;
  const std::function<bool(const std::string&, bool)>& embed_;
  bool masks_;
  PersonalData personal_;
};

}  // namespace

bool read_document(const std::filesystem::path& folder, const ScannedFile& file, const PersonalMask& mask,
                   const std::function<void(std::string_view)>& take, const std::function<void()>& document_end, const std::function<void(std::string_view)>& turn,
                   const std::function<bool(const std::string&, bool)>& embed) {
  const Format* format = format_of_kind(file.kind);
  const auto encoding = encoding_of(file.encoding);
  TW_CHECK(format && (encoding || file.encoding.empty()), data, "{}: kind \"{}\" or encoding \"{}\" is not known", file.path,
           file.kind, file.encoding);
  DocumentFile document(folder / file.path, file.bytes);
  Taker taker(file, mask, take, document_end, turn, embed);
  try {
    extract(*format, encoding, document.content(), taker);
    taker.end();
    return document.file().sha256() == file.sha256;
  } catch (const Error&) {
    if (document.file().grown()) return false;
    throw;
  }
}

Cuts cuts_of(const TextTokenizer& tokenizer) {
  const TokenizerSpec& spec = tokenizer.spec();
  if (spec.units != TokenizerSpec::Units::bytes || spec.prefix != TokenizerSpec::Prefix::none || !spec.charsmap.empty() ||
      spec.collapse_spaces || spec.rule == SplitRule::none || spec.rule == SplitRule::each_space)
    return Cuts::none;
  Cuts cuts = Cuts::words;
  for (const AddedToken& token : spec.added) {
    if (token.special) continue;  // ordinary text here
    cuts = Cuts::before_space;    // the others stand wherever their text does, in the middle of words too
    const Glyphs g(token.text);
    for (size_t i = 0; i < g.size(); i += g.at(i).bytes)
      if (g.at(i).type == CharClass::space) return Cuts::none;
    if (token.left_space || token.right_space) return Cuts::none;
  }
  return cuts;
}

TextParts::TextParts(Cuts cuts, size_t part, size_t longest) : cuts_(cuts), part_(part), longest_(longest) {
  TW_CHECK(part >= 8 && longest >= part, bug, "parts of {} to {} bytes", part, longest);
}

void TextParts::add(std::string_view piece) {
  text_.erase(0, begin_);
  begin_ = 0;
  text_ += piece;
}

bool TextParts::next(std::string_view& part, bool last) {
  const std::string_view rest = std::string_view(text_).substr(begin_);
  if (rest.empty() || (rest.size() <= part_ && !last)) return false;
  size_t end = rest.size();
  if (rest.size() > part_) {
    const size_t cut = cuts_ == Cuts::none ? rest.npos : find_cut(rest, std::min(longest_, rest.size() - 1));
    if (cut != rest.npos) {
      end = cut;
    } else if (rest.size() > longest_) {
      end = longest_;
      while ((rest[end] & 0xC0) == 0x80) --end;  // whole characters
    } else if (!last) {
      return false;
    }
  }
  part = rest.substr(0, end);
  begin_ += end;
  looked_ = 0;
  return true;
}

// The first cut in [part_, limit], or npos.
size_t TextParts::find_cut(std::string_view text, size_t limit) {
  const auto start_of = [&](size_t i) {
    while (i > 0 && (text[i] & 0xC0) == 0x80) --i;
    return i;
  };
  const Glyphs g(text);
  size_t i = std::max(looked_, start_of(part_ - 1));
  for (Glyph here = g.at(i); i + here.bytes <= limit;) {
    const size_t after = i + here.bytes;
    const Glyph next = g.at(after);
    const bool word = here.type == CharClass::letter || here.type == CharClass::number;
    if (word && next.type != here.type && (cuts_ == Cuts::words || next.type == CharClass::space)) return after;
    i = after;
    here = next;
  }
  looked_ = i;
  return text.npos;
}

}  // namespace tw
