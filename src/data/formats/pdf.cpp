// PDF, by pdftotext of Poppler, a program apart: a library of that size shall not read files of anyone in our process.
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "src/core/error.h"
#include "src/core/utf8.h"
#include "src/core/child.h"
#include "src/data/formats/format.h"

namespace tw {
namespace {

constexpr std::string_view kExtensions[] = {"pdf"};
constexpr int64_t kMaxFile = int64_t(1) << 30;
constexpr size_t kMaxParagraph = size_t(1) << 20;

bool is_lower(std::string_view text) {
  char32_t c = 0;
  if (text.empty() || decode_utf8(text, c) == 0) return false;
  return (c >= 'a' && c <= 'z') || (c >= 0xDF && c <= 0xFF && c != 0xF7);
}

bool is_page_number(std::string_view text) {
  return text.size() <= 6 && (text.find_first_not_of("0123456789") == text.npos || text.find_first_not_of("ivxlc") == text.npos);
}

// Makes paragraphs of the lines of pages: pdftotext ends them where the paper did. A line goes on behind the one before
// unless an empty line divides them; where the line before is short, or this one begins an item, the break stays. Page
// numbers at the end of a page and the dots that lead to those of a table of contents are left out.
class Paragraphs {
 public:
  explicit Paragraphs(DocumentSink& sink) : sink_(sink) {}
  void feed(std::string_view piece) {
    for (const char c : piece) {
      if (c == '\n' || c == '\f') {
        line();
        if (c == '\f') page();
      } else if (static_cast<unsigned char>(c) >= 0x20 || c == '\t') {
        line_ += c;
        if (line_.size() > kMaxParagraph) line();
      }
    }
  }
  void end() {
    line();
    paragraph();
    put();
    if (any_) sink_.text("\n");
  }

 private:
  void line() {
    std::string text = without_leaders(repaired_utf8(line_));
    line_.clear();
    if (text.empty()) return paragraph();
    // A page may end in the middle of a sentence.
    if (page_ended_ && is_lower(text) && !held_.empty() && !ends_sentence(held_)) text_ = std::exchange(held_, "");
    page_ended_ = false;
    if (text_.size() + text.size() > kMaxParagraph) paragraph();
    if (!text_.empty()) {
      constexpr std::string_view kSoft = "\xC2\xAD", kHyphen = "\xE2\x80\x90";
      const bool soft = text_.ends_with(kSoft), hyphen = text_.ends_with('-') || text_.ends_with(kHyphen);
      const size_t mark = text_.ends_with('-') ? 1 : soft ? kSoft.size() : kHyphen.size();
      // "Paket-" "verwaltung" is one word, "Debian-" "Paket" keeps its hyphen.
      if (soft || (hyphen && ends_lower(std::string_view(text_).substr(0, text_.size() - mark)) && is_lower(text))) text_.erase(text_.size() - mark);
      else if (!hyphen) text_ += breaks(text) ? '\n' : ' ';
    }
    text_ += text;
    width_ = std::max(double(text.size()), 0.995 * width_);
    last_ = text.size();
  }
  // "7.1 Titel . . . . . 36" -> "7.1 Titel 36", without white space at either end.
  static std::string without_leaders(const std::string& line) {
    std::string text;
    for (size_t i = 0; i < line.size();) {
      size_t end = i, dots = 0;
      while (end < line.size() && (line[end] == '.' || line[end] == ' ')) dots += line[end++] == '.';
      end = std::max(end, i + 1);
      if (dots > 3) text += ' ';
      else text.append(line, i, end - i);
      i = end;
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.pop_back();
    text.erase(0, std::min(text.find_first_not_of(" \t"), text.size()));
    return text;
  }
  // Whether the line before ended on purpose.
  bool breaks(std::string_view text) const {
    const bool item = text.starts_with("\xE2\x80\xA2") || text.starts_with("- ") || text.starts_with("* ") || text.starts_with("\xE2\x80\x93 ");
    return item || double(last_) < 0.6 * width_;
  }
  static bool ends_lower(std::string_view text) {
    size_t begin = text.size();
    while (begin > 0 && (text[--begin] & 0xC0) == 0x80) {
    }
    return is_lower(text.substr(begin));
  }
  static bool ends_sentence(std::string_view text) { return text.ends_with('.') || text.ends_with('!') || text.ends_with('?') || text.ends_with(':'); }
  void page() {
    if (is_page_number(text_)) text_.clear();
    paragraph();
    if (is_page_number(held_)) held_.clear();
    page_ended_ = true;
  }
  void paragraph() {
    if (text_.empty()) return;
    put();
    held_ = std::exchange(text_, "");
    last_ = 0;
  }
  void put() {
    if (held_.empty()) return;
    if (any_) sink_.text("\n\n");
    sink_.text(held_);
    any_ = true;
    held_.clear();
  }
  DocumentSink& sink_;
  std::string line_, text_, held_;  // of the page; of the paragraph; the paragraph before
  double width_ = 0;                // of the longest lines of late
  size_t last_ = 0;                 // of the last line
  bool any_ = false, page_ended_ = false;
};

}  // namespace

void pdf_paragraphs(std::span<const std::string_view> pieces, DocumentSink& sink) {
  Paragraphs paragraphs(sink);
  for (const std::string_view piece : pieces) paragraphs.feed(piece);
  paragraphs.end();
}

namespace {

void read_pdf(ByteReader& file, DocumentSink& sink) {
  const FileDescriptor whole = file.whole(kMaxFile);
  char first = 0;
  TW_CHECK(::pread(whole.get(), &first, 1, 0) > 0, data, "empty");
  Paragraphs paragraphs(sink);
  bool text = false;
  const ChildEnd end = run_child({"pdftotext", "-enc", "UTF-8", "-", "-"}, whole, {}, [&](std::string_view piece) {
    text = text || piece.find_first_not_of(" \n\f\r\t") != piece.npos;
    paragraphs.feed(piece);
  });
  TW_CHECK(end.started, data, "PDF is read by pdftotext, which is not installed: apt-get install poppler-utils");
  paragraphs.end();
  if (end.code == 0) {
    TW_CHECK(text, data, "no text inside: pictures of pages? Text recognition (ocrmypdf) makes text of them");
    return;
  }
  // Exit codes of pdftotext(1): 1 cannot be opened, 3 permissions.
  const bool password = end.complaint.find("password") != end.complaint.npos || end.code == 3;
  TW_CHECK(!password, data, "encrypted: a password is needed, or copying is not permitted");
  std::string why = repaired_utf8(end.complaint.substr(0, end.complaint.find('\n')));
  TW_FAIL(data, "damaged or no PDF: pdftotext ended with {}{}", end.code, why.empty() ? "" : ", " + why);
}

}  // namespace

const Format kPdf = {.kind = "pdf", .extensions = kExtensions, .from_bytes = read_pdf};

}  // namespace tw
