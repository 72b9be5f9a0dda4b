// Text documents of office programs: docx (ECMA-376, WordprocessingML) and odt (OASIS OpenDocument 1.3, part 3). What a
// reader of the page sees as its text comes out: paragraphs divided by an empty line, "- " before list items, tables as
// rows "a | b", foot and end notes behind the paragraph or the text. Left out are what was deleted in tracked changes,
// comments, field codes, headers and footers, and tables of contents.
#include <expat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/core/error.h"
#include "src/data/formats/format.h"
#include "src/data/formats/zip.h"

namespace tw {
namespace {

constexpr std::string_view kDocxExtensions[] = {"docx", "docm", "dotx"}, kOdtExtensions[] = {"odt", "ott"};
constexpr int64_t kMaxFile = int64_t(1) << 30;
constexpr int kMaxDepth = 1000;                   // elements within each other
constexpr size_t kMaxParagraph = size_t(8) << 20;  // bytes
constexpr std::string_view kOldOffice("\xD0\xCF\x11\xE0", 4);  // also what an encrypted docx is wrapped in

using Attributes = const char**;
std::string_view attribute(Attributes a, std::string_view name) {
  for (; *a; a += 2)
    if (name == a[0]) return a[1];
  return "";
}

// Puts paragraphs, rows and lists one behind the other.
class Flow {
 public:
  explicit Flow(DocumentSink& sink) : sink_(sink) {}
  void text(std::string_view piece) {
    std::string& to = open_.back();
    to += piece;
    TW_CHECK(to.size() <= kMaxParagraph, data, "a paragraph of more than {} bytes", kMaxParagraph);
  }
  void list_item() { item_ = true; }
  void end_paragraph() {
    std::string& paragraph = open_.back();
    while (!paragraph.empty() && std::strchr(" \t\n", paragraph.back())) paragraph.pop_back();
    if (open_.size() > 1 || rows_ > 0) {  // part of another, or of a cell
      if (!paragraph.empty()) paragraph += ' ';
      return;
    }
    if (!paragraph.empty()) put((item_ ? "- " : "") + paragraph, item_ ? Block::item : Block::paragraph);
    item_ = false;
    paragraph.clear();
    if (!aside_.empty()) put(std::exchange(aside_, ""), Block::paragraph);
  }
  // A note or a box within a paragraph: stands behind it.
  void begin_aside() { open_.emplace_back(); }
  void end_aside() {
    if (open_.size() == 1) return;
    std::string inner = std::move(open_.back());
    open_.pop_back();
    while (!inner.empty() && inner.back() == ' ') inner.pop_back();
    if (inner.empty()) return;
    aside_ += (aside_.empty() ? "" : "\n\n") + inner;
    TW_CHECK(aside_.size() <= kMaxParagraph, data, "notes of more than {} bytes", kMaxParagraph);
    if (rows_ == 0 && open_.size() == 1 && open_.back().empty()) put(std::exchange(aside_, ""), Block::paragraph);
  }
  void begin_row() { ++rows_; }
  void end_cell() {
    std::string& row = open_.back();
    while (!row.empty() && row.back() == ' ') row.pop_back();
    row += rows_ > 1 ? " " : " | ";
  }
  void end_row() {
    if (rows_ == 0 || --rows_ > 0 || open_.size() > 1) return;
    std::string row = std::exchange(open_.back(), "");
    while (!row.empty() && (row.back() == ' ' || row.back() == '|')) row.pop_back();
    for (char& c : row)
      if (c == '\n') c = ' ';
    if (!row.empty()) put(row, Block::row);
  }
  void end_table() {
    if (rows_ == 0) {
      last_ = last_ == Block::none ? Block::none : Block::paragraph;
      if (!aside_.empty()) put(std::exchange(aside_, ""), Block::paragraph);
    }
  }
  void finish() {
    open_.resize(1);
    rows_ = 0;
    end_paragraph();
    if (last_ != Block::none) sink_.text("\n");
  }

 private:
  enum class Block { none, paragraph, item, row };
  void put(const std::string& text, Block block) {
    if (last_ != Block::none) sink_.text(block == last_ && block != Block::paragraph ? "\n" : "\n\n");
    sink_.text(text);
    last_ = block;
  }
  DocumentSink& sink_;
  std::vector<std::string> open_{1};
  std::string aside_;
  int rows_ = 0;
  bool item_ = false;
  Block last_ = Block::none;
};

// Feeds the elements of an XML document to a reader, without those that it skips.
class XmlReader {
 public:
  XmlReader() : parser_(XML_ParserCreate(nullptr)) {
    TW_CHECK(parser_, io, "no memory for an XML parser");
    XML_SetUserData(parser_.get(), this);
    XML_SetElementHandler(parser_.get(), [](void* self, const char* name, Attributes a) { at(self, [&](XmlReader& r) { r.begin(name, a); }); },
                          [](void* self, const char* name) { at(self, [&](XmlReader& r) { r.end(name); }); });
    XML_SetCharacterDataHandler(parser_.get(), [](void* self, const char* text, int n) {
      at(self, [&](XmlReader& r) {
        if (r.skipped_ == 0) r.text({text, size_t(n)});
      });
    });
    XML_SetStartDoctypeDeclHandler(parser_.get(), [](void* self, const char*, const char*, const char*, int) {
      at(self, [](XmlReader&) { TW_FAIL(data, "a document type stands in its XML, as none of its kind has"); });
    });
  }
  virtual ~XmlReader() = default;
  void feed(std::string_view piece, bool last) {
    const XML_Status status = XML_Parse(parser_.get(), piece.data(), int(piece.size()), last);
    if (failure_) std::rethrow_exception(failure_);
    TW_CHECK(status == XML_STATUS_OK, data, "its XML is damaged in line {}: {}", XML_GetCurrentLineNumber(parser_.get()),
             XML_ErrorString(XML_GetErrorCode(parser_.get())));
  }

 protected:
  virtual bool skips(std::string_view name, Attributes attributes) const = 0;  // with all that is inside
  virtual void start(std::string_view name, Attributes attributes) = 0;
  virtual void finish(std::string_view name) = 0;
  virtual void text(std::string_view piece) = 0;

 private:
  struct Free {
    void operator()(XML_Parser p) const noexcept { XML_ParserFree(p); }
  };
  // Exceptions may not pass through the library.
  template <class F>
  static void at(void* self, F&& f) {
    auto& r = *static_cast<XmlReader*>(self);
    if (r.failure_) return;
    try {
      f(r);
    } catch (...) {
      r.failure_ = std::current_exception();
      XML_StopParser(r.parser_.get(), XML_FALSE);
    }
  }
  void begin(std::string_view name, Attributes attributes) {
    TW_CHECK(++depth_ <= kMaxDepth, data, "its XML is nested more than {} deep", kMaxDepth);
    if (skipped_ > 0 || skips(name, attributes)) ++skipped_;
    else start(name, attributes);
  }
  void end(std::string_view name) {
    --depth_;
    if (skipped_ > 0) --skipped_;
    else finish(name);
  }
  std::unique_ptr<XML_ParserStruct, Free> parser_;
  std::exception_ptr failure_;
  int depth_ = 0, skipped_ = 0;
};

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) { return std::find(names.begin(), names.end(), name) != names.end(); }

// Word's names have the prefix w: in every program that writes them.
class DocxReader final : public XmlReader {
 public:
  explicit DocxReader(Flow& flow) : flow_(flow) {}

 private:
  bool skips(std::string_view name, Attributes a) const override {
    // Of two forms of a drawing the first is for programs of today. Separators are the lines above notes.
    return is_one_of(name, {"mc:Fallback", "w:moveFrom", "w:del", "w:instrText", "w:delText", "w:rPr", "w:sectPr", "w:object"}) ||
           (is_one_of(name, {"w:footnote", "w:endnote"}) && attribute(a, "w:type").ends_with("eparator")) ||
           (name == "w:footnote" && attribute(a, "w:type") == "continuationNotice");
  }
  void start(std::string_view name, Attributes a) override {
    if (name == "w:t") in_text_ = true;
    else if (name == "w:tab" && !in_properties_) flow_.text("\t");
    else if (name == "w:br" || name == "w:cr") flow_.text("\n");
    else if (name == "w:noBreakHyphen") flow_.text("-");
    else if (name == "w:pPr") in_properties_ = true;
    else if (name == "w:numPr" && in_properties_) numbered_ = true;
    else if (name == "w:pStyle" && in_properties_) style(attribute(a, "w:val"));
    else if (name == "w:tr") flow_.begin_row();
    else if (name == "w:txbxContent") flow_.begin_aside(), ++boxes_;
  }
  void finish(std::string_view name) override {
    if (name == "w:t") in_text_ = false;
    else if (name == "w:pPr") in_properties_ = false;
    else if (name == "w:p") {
      if (numbered_ && boxes_ == 0) flow_.list_item();
      flow_.end_paragraph();
      numbered_ = contents_ = false;
    } else if (name == "w:tc") flow_.end_cell();
    else if (name == "w:tr") flow_.end_row();
    else if (name == "w:tbl") flow_.end_table();
    else if (name == "w:txbxContent") flow_.end_aside(), --boxes_;
  }
  void text(std::string_view piece) override {
    if (in_text_ && !contents_) flow_.text(piece);
  }
  void style(std::string_view name) {
    contents_ = name.starts_with("TOC");
    numbered_ = numbered_ || name.starts_with("ListBullet") || name.starts_with("ListNumber");
  }
  Flow& flow_;
  bool in_text_ = false, in_properties_ = false, numbered_ = false, contents_ = false;
  int boxes_ = 0;
};

class OdtReader final : public XmlReader {
 public:
  explicit OdtReader(Flow& flow) : flow_(flow) {}

 private:
  bool skips(std::string_view name, Attributes) const override {
    return is_one_of(name, {"text:tracked-changes", "office:annotation", "office:forms", "office:scripts", "office:automatic-styles",
                            "office:font-face-decls", "text:table-of-content", "text:alphabetical-index", "text:note-citation", "text:sequence-decls",
                            "svg:title", "svg:desc", "text:bibliography-configuration", "table:covered-table-cell"});
  }
  void start(std::string_view name, Attributes a) override {
    if (is_one_of(name, {"text:p", "text:h"})) {
      ++paragraphs_;
    } else if (name == "text:s") {
      const std::string_view count = attribute(a, "text:c");
      int n = 1;
      std::from_chars(count.data(), count.data() + count.size(), n);
      flow_.text(std::string(size_t(std::clamp(n, 1, 200)), ' '));
    } else if (name == "text:tab") flow_.text("\t");
    else if (name == "text:line-break") flow_.text("\n");
    else if (name == "text:list-item" && asides_ == 0) flow_.list_item();
    else if (name == "table:table-row") flow_.begin_row();
    else if (is_one_of(name, {"text:note-body", "draw:text-box"})) flow_.begin_aside(), ++asides_;
  }
  void finish(std::string_view name) override {
    if (is_one_of(name, {"text:p", "text:h"})) --paragraphs_, flow_.end_paragraph();
    else if (name == "table:table-cell") flow_.end_cell();
    else if (name == "table:table-row") flow_.end_row();
    else if (name == "table:table") flow_.end_table();
    else if (is_one_of(name, {"text:note-body", "draw:text-box"})) flow_.end_aside(), --asides_;
  }
  void text(std::string_view piece) override {
    if (paragraphs_ == 0) return;
    std::string line(piece);  // white space is one space (part 3, 6.1.2)
    std::replace_if(line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t' || c == '\r'; }, ' ');
    line.erase(std::unique(line.begin(), line.end(), [](char x, char y) { return x == ' ' && y == ' '; }), line.end());
    flow_.text(line);
  }
  Flow& flow_;
  int paragraphs_ = 0, asides_ = 0;
};

template <class Reader>
void read_parts(ByteReader& file, DocumentSink& sink, std::initializer_list<const char*> parts) {
  const FileDescriptor whole = file.whole(kMaxFile);
  char magic[4] = {};
  const int64_t size = ::lseek(whole.get(), 0, SEEK_END);
  if (size >= 4) read_exactly(whole.get(), magic, sizeof magic, 0, "the document");
  TW_CHECK(std::string_view(magic, 4) != kOldOffice, data, "encrypted, or of an old program: save it anew without a password");
  Flow flow(sink);
  bool first = true;
  for (const char* part : parts) {
    Reader reader(flow);
    const bool there = read_zip_entry(whole, part, [&](std::string_view piece) { reader.feed(piece, false); });
    TW_CHECK(there || !first, data, "there is no {} inside", part);
    if (there) reader.feed("", true);
    first = false;
  }
  flow.finish();
}

void read_docx(ByteReader& file, DocumentSink& sink) {
  read_parts<DocxReader>(file, sink, {"word/document.xml", "word/footnotes.xml", "word/endnotes.xml"});
}
void read_odt(ByteReader& file, DocumentSink& sink) { read_parts<OdtReader>(file, sink, {"content.xml"}); }

}  // namespace

const Format kDocx = {.kind = "docx", .extensions = kDocxExtensions, .from_bytes = read_docx};
const Format kOdt = {.kind = "odt", .extensions = kOdtExtensions, .from_bytes = read_odt};

}  // namespace tw
