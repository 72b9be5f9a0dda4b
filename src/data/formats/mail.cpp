// Mail (RFC 5322, MIME: RFC 2045 to 2047), one message (.eml) or a box of them (.mbox, RFC 4155), by GMime. A message
// is its subject, who wrote to whom and when, its text (of alternatives the plain one, else the HTML), and the names of
// what was attached. Messages inside messages follow.
#include <gmime/gmime.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "src/core/error.h"
#include "src/core/format.h"
#include "src/core/utf8.h"
#include "src/data/formats/format.h"

namespace tw {
namespace {

constexpr std::string_view kExtensions[] = {"eml", "mbox"};
constexpr size_t kMaxMessage = size_t(64) << 20;
constexpr int kMaxNested = 200;  // parts that hold parts; GMime reads them recursively
constexpr int kMaxParts = 10000;
constexpr size_t kMaxHeader = 4000;  // bytes shown of one

struct Unref {
  void operator()(void* object) const noexcept { g_object_unref(object); }
};
template <class T>
using Object = std::unique_ptr<T, Unref>;
struct Free {
  void operator()(char* text) const noexcept { g_free(text); }
};
using Chars = std::unique_ptr<char, Free>;

void start_gmime() {
  static std::once_flag once;
  std::call_once(once, [] {
    g_mime_init();
    g_log_set_default_handler([](const char*, GLogLevelFlags, const char*, void*) {}, nullptr);  // hostile mail is no news
  });
}

size_t count(std::string_view text, std::string_view lower_word) {
  size_t n = 0;
  for (size_t i = 0; i + lower_word.size() <= text.size(); ++i) {
    size_t k = 0;
    while (k < lower_word.size() && char(text[i + k] | 0x20) == lower_word[k]) ++k;
    n += k == lower_word.size();
  }
  return n;
}

class Letter {
 public:
  explicit Letter(std::string& out) : out_(out) {}
  void message(GMimeMessage* m) {
    line("Subject", g_mime_message_get_subject(m));
    for (const auto& [name, type] : {std::pair("From", GMIME_ADDRESS_TYPE_FROM), {"To", GMIME_ADDRESS_TYPE_TO}, {"Cc", GMIME_ADDRESS_TYPE_CC}})
      if (InternetAddressList* list = g_mime_message_get_addresses(m, type); list && internet_address_list_length(list) > 0)
        line(name, Chars(internet_address_list_to_string(list, nullptr, FALSE)).get());
    if (GDateTime* date = g_mime_message_get_date(m)) line("Date", Chars(g_date_time_format(date, "%Y-%m-%d %H:%M")).get());
    if (GMimeObject* top = g_mime_message_get_mime_part(m)) part(top);
  }

 private:
  void line(const char* name, const char* value) {
    if (!value || !*value) return;
    std::string text = repaired_utf8(std::string_view(value).substr(0, kMaxHeader));
    for (char& c : text)
      if (c == '\n' || c == '\r' || c == '\t') c = ' ';
    out_ += fmt::format("{}: {}\n", name, text);
  }
  void part(GMimeObject* object) {
    TW_CHECK(++parts_ <= kMaxParts, data, "a message of more than {} parts", kMaxParts);
    if (GMIME_IS_MULTIPART(object)) {
      auto* all = GMIME_MULTIPART(object);
      const int n = g_mime_multipart_get_count(all);
      GMimeContentType* type = g_mime_object_get_content_type(object);
      if (g_mime_content_type_is_type(type, "multipart", "alternative")) {
        // The plain one, else the last that is read.
        GMimeObject* best = nullptr;
        for (int i = 0; i < n; ++i) {
          GMimeObject* choice = g_mime_multipart_get_part(all, i);
          GMimeContentType* t = g_mime_object_get_content_type(choice);
          if (g_mime_content_type_is_type(t, "text", "plain")) {
            best = choice;
            break;
          }
          if (g_mime_content_type_is_type(t, "text", "*") || g_mime_content_type_is_type(t, "multipart", "*")) best = choice;
        }
        if (best) part(best);
      } else {
        for (int i = 0; i < n; ++i) part(g_mime_multipart_get_part(all, i));
      }
    } else if (GMIME_IS_MESSAGE_PART(object)) {
      if (GMimeMessage* inner = g_mime_message_part_get_message(GMIME_MESSAGE_PART(object))) {
        out_ += '\n';
        message(inner);
      }
    } else if (GMIME_IS_PART(object)) {
      leaf(GMIME_PART(object));
    }
  }
  void leaf(GMimePart* p) {
    GMimeContentType* type = g_mime_object_get_content_type(GMIME_OBJECT(p));
    const char* name = g_mime_part_get_filename(p);
    if (!GMIME_IS_TEXT_PART(p) || g_mime_part_is_attachment(p)) {
      if (name) out_ += '\n', line("Attachment", name);
      return;
    }
    // Of a character set that is not known, nothing.
    const Chars text(g_mime_text_part_get_text(GMIME_TEXT_PART(p)));
    if (!text) return;
    std::string body = repaired_utf8(text.get());
    std::erase(body, '\r');
    out_ += '\n';
    out_ += g_mime_content_type_is_type(type, "text", "html") ? html_to_text(body) : body;
    if (!out_.ends_with('\n')) out_ += '\n';
  }
  std::string& out_;
  int parts_ = 0;
};

std::string text_of(std::string_view bytes) {
  start_gmime();
  TW_CHECK(count(bytes, "boundary") + count(bytes, "message/") <= size_t(kMaxNested), data, "a message of more than {} parts that hold parts", kMaxNested);
  const Object<GMimeStream> stream(g_mime_stream_mem_new_with_buffer(bytes.data(), bytes.size()));
  const Object<GMimeParser> parser(g_mime_parser_new_with_stream(stream.get()));
  const Object<GMimeMessage> message(g_mime_parser_construct_message(parser.get(), nullptr));
  TW_CHECK(message, data, "no mail: it does not begin with headers");
  std::string out;
  Letter(out).message(message.get());
  return out;
}

bool has_text(std::string_view text) { return text.find_first_not_of(" \t\r\n") != text.npos; }

// A line "From " behind an empty one begins a message of a box; ">From " stands for "From " inside.
class Box {
 public:
  explicit Box(DocumentSink& sink) : sink_(sink) {}
  void feed(std::string_view piece) {
    for (size_t begin = 0; begin < piece.size();) {
      const size_t end = piece.find('\n', begin), stop = end == piece.npos ? piece.size() : end + 1;
      line_.append(piece, begin, stop - begin);
      TW_CHECK(line_.size() + message_.size() <= kMaxMessage, data, "a message of more than {}", human_bytes(double(kMaxMessage)));
      if (end != piece.npos) line();
      begin = stop;
    }
  }
  void finish() {
    line();
    end_message();
    TW_CHECK(documents_ > 0, data, "no mail with a text");
    if (without_ > 0) sink_.note(fmt::format("{} messages are no mail or have no text", without_));
  }

 private:
  void line() {
    if (empty_before_ && line_.starts_with("From ")) {
      end_message();
    } else {
      empty_before_ = line_ == "\n" || line_ == "\r\n";
      message_ += line_.starts_with(">From ") ? line_.substr(1) : line_;
    }
    line_.clear();
  }
  void end_message() {
    empty_before_ = false;
    const std::string bytes = std::exchange(message_, "");
    if (!has_text(bytes)) return;
    std::string text;
    try {
      text = text_of(bytes);
    } catch (const Error&) {
    }
    if (!has_text(text)) return void(++without_);
    if (documents_++ > 0) sink_.end_document();
    sink_.text(text);
  }
  DocumentSink& sink_;
  std::string line_, message_;
  int64_t documents_ = 0, without_ = 0;
  bool empty_before_ = true;
};

void read_mail(ByteReader& file, DocumentSink& sink) {
  std::string block(size_t(64) << 10, '\0'), head;
  std::optional<Box> box;
  while (const size_t n = file.read(block.data(), block.size())) {
    const std::string_view piece(block.data(), n);
    if (box) {
      box->feed(piece);
      continue;
    }
    head += piece;
    if (head.size() >= 5 && head.starts_with("From ")) box.emplace(sink).feed(std::exchange(head, ""));
    TW_CHECK(head.size() <= kMaxMessage, data, "a message of more than {}", human_bytes(double(kMaxMessage)));
  }
  if (box) return box->finish();
  const std::string text = text_of(head);
  TW_CHECK(has_text(text), data, "no text inside");
  sink.text(text);
}

}  // namespace

const Format kMail = {.kind = "mail", .extensions = kExtensions, .from_bytes = read_mail};

}  // namespace tw
