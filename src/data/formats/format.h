// Kinds of documents a folder is scanned for. A new one is a new file here: its Format, and a line in format.cpp.
#pragma once
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "src/data/formats/encoding.h"

namespace tw {

// Where the text of a file goes.
class DocumentSink {
 public:
  virtual ~DocumentSink() = default;
  virtual void text(std::string_view piece) = 0;  // valid UTF-8, whole characters
  // Between two documents of a file that holds several (lines of JSON): their tokens are divided by the
  // end-of-document token.
  virtual void end_document() {}
  // A turn of a conversation begins: the text up to the next one, or the end of the document, is what `role` ("system", "user", "assistant") says.
  virtual void turn(std::string_view role, bool first) {
    (void)role;
    if (!first) text("\n\n");
  }
  // A link that may lead to a file that stands here: where to, relative to the document; what it says; and how it is written.
  virtual void embed(std::string_view target, std::string_view said, std::string_view literal) {
    (void)target, (void)said;
    text(literal);
  }
  // What a person should know of a file that can be used all the same: "3 of 100 lines are no JSON …".
  virtual void note(std::string) {}
  // Where the document says it is from.
  virtual void source(std::string) {}
};

// What most formats need of a file is its text, whatever its encoding; some are bytes (PDF, mail).
struct Format {
  std::string_view kind;                         // shown to people, stored in the inventory
  std::span<const std::string_view> extensions;  // lower case, without the dot
  // One of the two. Error(data) says why there is no text.
  void (*from_text)(TextReader& file, DocumentSink& sink) = nullptr;
  void (*from_bytes)(ByteReader& file, DocumentSink& sink) = nullptr;
  std::span<const std::string_view> names = {};  // of whole files, lower case: "makefile"
};

extern const Format kPlainText, kMarkdown, kHtml, kPdf, kDocx, kOdt, kJsonLines, kCsv, kMail, kSource;

std::span<const Format* const> all_formats() noexcept;
// By the name, then the extension, whatever their case; of "a.md.gz" (packed.h) that of "a.md". What is packed and has no
// extension inside is taken for text. nullptr = none of ours.
const Format* find_format(const std::filesystem::path& path);
const Format* format_of_kind(std::string_view kind) noexcept;

// What the bytes of a document are. `encoding` is none where the format does not want text.
struct DocumentReport {
  std::optional<Encoding> encoding;
  std::string reason;  // why it cannot be read, "" = it can
};
// Reads the file once; bytes as find_format() and unpack() take them. Error(no_input), Error(data).
DocumentReport inspect_document(const Format& format, ByteReader& file);
// Reads the file once and gives its text. Error(no_input), Error(data).
void extract(const Format& format, std::optional<Encoding> encoding, ByteReader& file, DocumentSink& sink);

// The text of an HTML document: paragraphs divided by an empty line, lists with "- " or their numbers, white space
// as a browser shows it, `pre` as it is; without scripts, styles, head and navigation. Linear in time, no recursion.
std::string html_to_text(std::string_view html);
// The paragraphs of what pdftotext writes (lines as on paper, pages ended by form feeds), whatever bytes it is.
void pdf_paragraphs(std::span<const std::string_view> pieces, DocumentSink& sink);

}  // namespace tw
