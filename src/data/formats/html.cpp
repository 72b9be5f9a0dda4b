// HTML and XHTML. Tags are read as the WHATWG HTML Standard section 13.2.5 tells (tokenization); no tree is built, so
// neither depth nor bad nesting costs anything: time is linear in the size and nothing recurses.
#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

#include "src/core/error.h"
#include "src/core/format.h"
#include "src/core/utf8.h"
#include "src/data/formats/format.h"
#include "src/data/formats/html_entities.h"

namespace tw {
namespace {

constexpr std::string_view kExtensions[] = {"html", "htm", "xhtml"};
constexpr size_t kMaxBytes = size_t(64) << 20;  // of a document: it is held in memory
constexpr size_t kHead = size_t(16) << 10, kLongestLink = 200, kLongestPart = 1000;  // bytes; of what an embedded file is said to be
constexpr size_t kMostEmbeds = 10000;           // of a document
constexpr size_t kMaxIndent = 8;                // levels of lists that show

template <size_t N>
bool is_one_of(std::string_view name, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// Everything up to the end tag is no markup, and is dropped.
constexpr std::string_view kRaw[] = {"script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"};
// Dropped with all that is inside.
constexpr std::string_view kDropped[] = {"head",  "nav",   "template", "svg",    "object",
                                         "audio", "video", "canvas",   "select", "button"};
// Dropped where class, id or role says that it leads elsewhere and tells nothing.
constexpr std::string_view kContainers[] = {"div", "ul", "ol", "dl", "table", "header", "footer", "aside", "section", "span"};
constexpr std::string_view kChrome[] = {"nav",    "navbar",     "navigation",  "navheader", "navfooter", "docnav", "toc",
                                        "banner", "breadcrumb", "breadcrumbs", "pagination", "skip-link"};
constexpr std::string_view kBlocks[] = {"address", "article", "aside",  "blockquote", "body",   "caption", "center",
                                        "details", "dialog",  "div",    "dl",         "fieldset", "figcaption",
                                        "figure",  "footer",  "form",   "h1",         "h2",     "h3",      "h4",
                                        "h5",      "h6",      "header", "hgroup",     "hr",     "main",    "p",
                                        "pre",     "section", "summary", "table"};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct Tag {
  std::string name;
  bool end = false, closes_itself = false, hidden = false, chrome = false;
  int64_t start = 1;  // of an ordered list
  std::string_view target, said;  // src or href, alt
};

// A file that may stand in the document, before the byte `at` of its text.
struct Embed {
  size_t at;
  std::string target, said;
};

enum class Break { none, space, line, paragraph };

class Extractor {
 public:
  explicit Extractor(std::string_view html) : in_(html) {
    size_t i = 0;
    while (i < in_.size() && is_space(in_[i])) ++i;
    xml_ = in_.substr(i).starts_with("<?xml");
  }
  std::string run();
  const std::vector<Embed>& embeds() const noexcept { return embeds_; }  // of run(), in order

 private:
  void embed(std::string_view target, std::string_view said);
  void markup();
  bool read_tag(Tag& tag);  // false: the document ends within it
  void read_attribute(Tag& tag);
  void skip_raw(const std::string& name);
  void start(const Tag& tag);
  void finish(const Tag& tag);
  void text(std::string_view piece);
  size_t reference(std::string_view text, size_t at);  // puts the character that "&…" stands for
  void put(uint32_t code_point);
  void flush();
  void want(Break b) {
    if (lead_.empty()) break_ = std::max(break_, b);
  }
  void lead(Break b, std::string text) {
    lead_.clear();
    want(b);
    lead_ = std::move(text);
  }
  size_t past(std::string_view mark, size_t from) const {
    const size_t found = in_.find(mark, from);
    return found == std::string_view::npos ? in_.size() : found + mark.size();
  }

  struct List {
    bool ordered;
    int64_t number;
  };
  std::string_view in_;
  size_t at_ = 0;
  bool xml_ = false;  // a tag that closes itself has no content
  std::string out_;
  Break break_ = Break::none;  // owed before the next character
  std::string lead_;           // owed after it: "- " of a list item. Until then blocks begin no new paragraph
  bool first_of_pre_ = false;
  int64_t pre_ = 0, cells_ = 0;
  std::vector<List> lists_;
  std::vector<Embed> embeds_;
  std::string link_;           // where the text within <a> leads to
  std::string dropped_;        // name of the element that is dropped, "" = none
  int64_t dropped_depth_ = 0;
};

std::string Extractor::run() {
  while (at_ < in_.size()) {
    if (in_[at_] == '<') {
      markup();
      continue;
    }
    const size_t end = std::min(in_.find('<', at_), in_.size());
    if (dropped_.empty()) text(in_.substr(at_, end - at_));
    at_ = end;
  }
  while (!out_.empty() && is_space(out_.back())) out_.pop_back();
  for (Embed& e : embeds_) e.at = std::min(e.at, out_.size());  // white space may have gone since
  if (!out_.empty()) out_ += '\n';
  return std::move(out_);
}

void Extractor::embed(std::string_view target, std::string_view said) {
  if (target.empty() || target.size() > kLongestPart || embeds_.size() == kMostEmbeds) return;
  std::string to(target), words = said.size() > kLongestPart ? std::string() : html_to_text(said);
  for (size_t at = 0; (at = to.find("&amp;", at)) != to.npos;) to.erase(++at, 4);
  if (!words.empty()) words.back() = ' ';  // its line's end
  while (!words.empty() && words.back() == ' ') words.pop_back();
  if (!words.empty() && !out_.empty()) words.insert(0, break_ == Break::paragraph ? "\n\n" : break_ == Break::line ? "\n" : break_ == Break::space ? " " : "");
  embeds_.push_back({out_.size(), std::move(to), std::move(words)});
}

void Extractor::markup() {
  const std::string_view rest = in_.substr(at_);
  if (rest.starts_with("<!--")) {
    at_ = past("-->", at_ + 2);
  } else if (xml_ && rest.starts_with("<![CDATA[")) {
    const size_t end = past("]]>", at_);
    const size_t length = end - at_ - 9;
    const std::string_view piece = in_.substr(at_ + 9, in_.substr(at_, end - at_).ends_with("]]>") ? length - 3 : length);
    if (dropped_.empty())
      for (size_t i = 0; i < piece.size();) {
        const int n = std::max(1, utf8_length(piece.data() + i, piece.size() - i));
        if (n == 1) {
          put(static_cast<unsigned char>(piece[i]));
        } else {
          text(piece.substr(i, size_t(n)));
        }
        i += size_t(n);
      }
    at_ = end;
  } else if (rest.size() > 1 && (is_letter(rest[1]) || (rest[1] == '/' && rest.size() > 2 && is_letter(rest[2])))) {
    Tag tag;
    if (!read_tag(tag)) return;
    if (tag.end) {
      finish(tag);
    } else {
      start(tag);
      if (xml_ && tag.closes_itself) finish(tag);
    }
  } else if (rest.size() > 1 && (rest[1] == '!' || rest[1] == '?' || rest[1] == '/')) {
    at_ = past(">", at_);
  } else {
    if (dropped_.empty()) put('<');
    ++at_;
  }
}

bool Extractor::read_tag(Tag& tag) {
  ++at_;
  if (in_[at_] == '/') tag.end = true, ++at_;
  const size_t begin = at_;
  while (at_ < in_.size() && !is_space(in_[at_]) && in_[at_] != '/' && in_[at_] != '>') ++at_;
  tag.name = ascii_lower(in_.substr(begin, std::min(at_ - begin, size_t(64))));
  while (at_ < in_.size()) {
    const char c = in_[at_];
    if (c == '>') {
      ++at_;
      return true;
    }
    tag.closes_itself = c == '/';
    if (c == '/' || is_space(c)) {
      ++at_;
      // "/ >" closes too, in the eyes of lenient writers.
      while (c == '/' && at_ < in_.size() && is_space(in_[at_])) ++at_;
      if (c == '/' && at_ < in_.size() && in_[at_] == '>') return ++at_, true;
    } else {
      read_attribute(tag);
    }
  }
  return false;
}

void Extractor::read_attribute(Tag& tag) {
  const size_t begin = at_++;  // a '=' in the first place belongs to the name
  while (at_ < in_.size() && !is_space(in_[at_]) && in_[at_] != '/' && in_[at_] != '>' && in_[at_] != '=') ++at_;
  const std::string name = ascii_lower(in_.substr(begin, std::min(at_ - begin, size_t(16))));
  size_t i = at_;
  while (i < in_.size() && is_space(in_[i])) ++i;
  std::string_view value;
  if (i < in_.size() && in_[i] == '=') {
    ++i;
    while (i < in_.size() && is_space(in_[i])) ++i;
    if (i < in_.size() && (in_[i] == '"' || in_[i] == '\'')) {
      const size_t end = std::min(in_.find(in_[i], i + 1), in_.size());
      value = in_.substr(i + 1, end - i - 1);
      at_ = std::min(end + 1, in_.size());
    } else {
      size_t end = i;
      while (end < in_.size() && !is_space(in_[end]) && in_[end] != '>') ++end;
      value = in_.substr(i, end - i);
      at_ = end;
    }
  }
  if (name == "hidden" || (name == "aria-hidden" && value == "true")) tag.hidden = true;
  if (name == "src" || name == "href") tag.target = value;
  if (name == "alt") tag.said = value;
  if (name == "start") std::from_chars(value.data(), value.data() + std::min(value.size(), size_t(9)), tag.start);
  if (name != "class" && name != "id" && name != "role") return;
  value = value.substr(0, 512);
  while (!value.empty()) {
    const size_t end = std::min(value.find_first_of(" \t\n\f\r"), value.size());
    if (is_one_of(ascii_lower(value.substr(0, end)), kChrome)) tag.chrome = true;
    value.remove_prefix(std::min(end + 1, value.size()));
  }
}

void Extractor::skip_raw(const std::string& name) {
  while (at_ < in_.size()) {
    at_ = past("</", at_);
    const std::string_view rest = in_.substr(at_);
    if (rest.size() <= name.size() || ascii_lower(rest.substr(0, name.size())) != name) continue;
    const char c = rest[name.size()];
    if (!is_space(c) && c != '/' && c != '>') continue;
    at_ = past(">", at_);
    return;
  }
}

void Extractor::start(const Tag& tag) {
  const bool empty = xml_ && tag.closes_itself;
  if (is_one_of(tag.name, kRaw)) {
    if (!empty) skip_raw(tag.name);
    return;
  }
  if (dropped_ == "head" && tag.name == "body") dropped_.clear();  // </head> may be left out
  const bool played = tag.name == "audio" || tag.name == "video";
  if (!dropped_.empty()) {
    if (tag.name == "source" && (dropped_ == "audio" || dropped_ == "video")) embed(tag.target, "");
    dropped_depth_ += tag.name == dropped_;
    return;
  }
  if (tag.name == "img" || played) embed(tag.target, tag.said);
  if (tag.name == "a") link_ = tag.target.size() <= kLongestPart ? tag.target : "";
  if (is_one_of(tag.name, kDropped) || ((tag.chrome || tag.hidden) && is_one_of(tag.name, kContainers))) {
    want(Break::paragraph);
    dropped_ = tag.name;
    dropped_depth_ = 1;
  } else if (tag.name == "ul" || tag.name == "ol" || tag.name == "menu") {
    lead_.clear();
    want(lists_.empty() ? Break::paragraph : Break::line);
    lists_.push_back({tag.name == "ol", tag.start});
  } else if (tag.name == "li") {
    const bool ordered = !lists_.empty() && lists_.back().ordered;
    lead(Break::line, ordered ? std::to_string(lists_.back().number++) + ". " : "- ");
  } else if (tag.name == "dt") {
    lead_.clear();
    want(Break::paragraph);
  } else if (tag.name == "dd") {
    lead(Break::line, "  ");
  } else if (tag.name == "tr") {
    lead_.clear();
    want(Break::line);
    cells_ = 0;
  } else if (tag.name == "td" || tag.name == "th") {
    if (cells_++ > 0) {
      break_ = Break::none;
      lead_ = " | ";
    }
  } else if (tag.name == "br") {
    if (pre_ > 0) {
      put('\n');
    } else {
      want(break_ == Break::line ? Break::paragraph : Break::line);
    }
  } else if (tag.name == "q") {
    put('"');
  } else if (is_one_of(tag.name, kBlocks)) {
    want(Break::paragraph);
    if (tag.name == "pre") ++pre_, first_of_pre_ = true;
  }
}

void Extractor::finish(const Tag& tag) {
  if (!dropped_.empty()) {
    if (tag.name == dropped_ && --dropped_depth_ == 0) dropped_.clear();
    return;
  }
  if (tag.name == "a") {
    embed(link_, "");
    link_.clear();
  } else if (tag.name == "ul" || tag.name == "ol" || tag.name == "menu") {
    lead_.clear();
    if (!lists_.empty()) lists_.pop_back();
    want(lists_.empty() ? Break::paragraph : Break::line);
  } else if (tag.name == "li" || tag.name == "dt" || tag.name == "dd" || tag.name == "tr") {
    lead_.clear();
    want(Break::line);
  } else if (tag.name == "q") {
    put('"');
  } else if (tag.name == "pre") {
    if (pre_ > 0) --pre_;
    while (pre_ == 0 && !out_.empty() && is_space(out_.back())) out_.pop_back();
    want(Break::paragraph);
  } else if (is_one_of(tag.name, kBlocks)) {
    want(Break::paragraph);
  }
}

void Extractor::text(std::string_view piece) {
  for (size_t i = 0; i < piece.size();) {
    const unsigned char c = static_cast<unsigned char>(piece[i]);
    if (c == '&') {
      i = reference(piece, i);
    } else if (c < 0x80) {
      put(c);
      ++i;
    } else {
      const int n = std::max(1, utf8_length(piece.data() + i, piece.size() - i));
      const bool soft_hyphen = piece.substr(i, 2) == "\xC2\xAD";
      if (!soft_hyphen) {
        flush();
        out_.append(piece, i, size_t(n));
      }
      i += size_t(n);
    }
  }
}

size_t Extractor::reference(std::string_view text, size_t at) {
  size_t i = at + 1;
  if (i < text.size() && text[i] == '#') {
    const bool hexadecimal = ++i < text.size() && (text[i] == 'x' || text[i] == 'X');
    if (hexadecimal) ++i;
    const size_t digits = i;
    uint32_t value = 0;
    for (; i < text.size(); ++i) {
      const char c = char(text[i] | 32);
      const bool letter = hexadecimal && c >= 'a' && c <= 'f';
      if (!is_digit(text[i]) && !letter) break;
      value = std::min<uint32_t>(value * (hexadecimal ? 16 : 10) + uint32_t(letter ? c - 'a' + 10 : text[i] - '0'), 0x110000);
    }
    if (i == digits) return put('&'), at + 1;
    if (i < text.size() && text[i] == ';') ++i;
    if (value >= 0x80 && value < 0xA0) value = windows_1252(static_cast<unsigned char>(value));
    put(value == 0 ? 0xFFFD : value);
    return i;
  }
  while (i < text.size() && i - at <= 10 && (is_letter(text[i]) || is_digit(text[i]))) ++i;
  const uint32_t value = html_entity(text.substr(at + 1, i - at - 1));
  const bool closed = i < text.size() && text[i] == ';';
  // Without the semicolon the old ones count (Latin-1), as browsers have it.
  if (value == 0 || (!closed && value > 255)) return put('&'), at + 1;
  put(value);
  return i + closed;
}

void Extractor::put(uint32_t c) {
  if (c == 0xAD) return;  // soft hyphen: where a line may be divided
  const bool space = c < 0x80 && is_space(char(c));
  if (pre_ > 0) {
    const bool skipped = first_of_pre_ && c == '\n';  // the line break behind <pre>
    first_of_pre_ = false;
    if (skipped || c == '\r') return;
  } else if (space) {
    if (!out_.empty()) break_ = std::max(break_, Break::space);
    return;
  }
  if ((c < 0x20 && !is_space(char(c))) || c == 0x7F) return;
  flush();
  append_utf8(out_, c);
}

// Writes what is owed before the next character.
void Extractor::flush() {
  first_of_pre_ = false;
  if (break_ == Break::none && lead_.empty()) return;
  const bool cell = lead_ == " | ";
  if (out_.empty()) {
    break_ = Break::none;
  } else if (cell) {
    break_ = Break::none;
  } else if (break_ == Break::space && lead_.empty()) {
    out_ += ' ';
  } else if (break_ != Break::none) {
    while (!out_.empty() && is_space(out_.back())) out_.pop_back();
    out_ += break_ == Break::paragraph ? "\n\n" : "\n";
    const size_t levels = std::min(lists_.size(), kMaxIndent);
    if (pre_ == 0 && levels > 0) out_.append(2 * (levels - (lead_.empty() || lead_ == "  " ? 0 : 1)), ' ');
  }
  out_ += lead_;
  lead_.clear();
  break_ = Break::none;
}

// What is no UTF-8 was taken for Windows-1252. A document that says it is something else would become nonsense.
void check_charset(std::string_view html) {
  const std::string head = ascii_lower(html.substr(0, 1024));
  for (const std::string_view mark : {"charset=", "encoding="}) {
    size_t at = head.find(mark);
    if (at == std::string::npos) continue;
    at = head.find_first_not_of("\"' ", at + mark.size());
    if (at == std::string::npos) return;
    const std::string name = head.substr(at, head.find_first_of("\"' ;/>?", at) - at);
    constexpr std::string_view kWestern[] = {"windows-1252", "cp1252", "iso-8859-1", "iso-8859-15",
                                             "latin1",       "ascii",  "us-ascii",   "utf-8"};
    TW_CHECK(is_one_of(name, kWestern), data, "its charset {:.40} is not read: save it as UTF-8", name);
    return;
  }
}

// <link rel="canonical" href="...">, as pages say where they belong.
std::string canonical_link(std::string_view html) {
  const size_t at = html.find("rel=\"canonical\"");
  if (at == html.npos) return "";
  const size_t begin = html.rfind('<', at), end = html.find('>', at);
  if (begin == html.npos || end == html.npos) return "";
  const std::string_view tag = html.substr(begin, end - begin);
  const size_t href = tag.find("href=\"");
  return href == tag.npos ? "" : std::string(tag.substr(href + 6, std::min(tag.find('"', href + 6) - href - 6, kLongestLink)));
}

void read_html(TextReader& file, DocumentSink& sink) {
  std::string html, block;
  while (file.next(block)) {
    if (html.empty() && file.encoding() == Encoding::latin1) check_charset(block);
    html += block;
    TW_CHECK(html.size() <= kMaxBytes, data, "larger than {}, the limit of an HTML document", human_bytes(double(kMaxBytes)));
  }
  sink.source(repaired_utf8(canonical_link(std::string_view(html).substr(0, kHead))));
  Extractor extractor(html);
  const std::string text = extractor.run();
  size_t given = 0;
  for (const Embed& e : extractor.embeds()) {
    if (e.at > given) sink.text(std::string_view(text).substr(given, e.at - given));
    given = e.at;
    sink.embed(e.target, e.said, "");
  }
  sink.text(std::string_view(text).substr(given));
}

}  // namespace

std::string html_to_text(std::string_view html) { return Extractor(html).run(); }

const Format kHtml = {"html", kExtensions, read_html};

}  // namespace tw
