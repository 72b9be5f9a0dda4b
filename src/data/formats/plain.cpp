// Plain text and Markdown: the text is the file, its marks included.
#include "src/data/formats/format.h"

namespace tw {
namespace {

constexpr std::string_view kTextExtensions[] = {"txt", "text"};
constexpr std::string_view kMarkdownExtensions[] = {"md", "markdown"};

void copy(TextReader& file, DocumentSink& sink) {
  std::string block;
  while (file.next(block)) sink.text(block);
}

}  // namespace

const Format kPlainText = {"text", kTextExtensions, copy};
const Format kMarkdown = {"markdown", kMarkdownExtensions, copy};

}  // namespace tw
