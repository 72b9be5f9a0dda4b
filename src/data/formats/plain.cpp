// Plain text and Markdown: the text is the file, its marks included.
#include "src/data/formats/format.h"

namespace tw {
namespace {

constexpr std::string_view kTextExtensions[] = {"txt", "text"};
constexpr std::string_view kMarkdownExtensions[] = {"md", "markdown"};

void extract(TextReader& file, const TextSink& sink, const DocumentEnd&) {
  std::string block;
  while (file.next(block)) sink(block);
}

}  // namespace

const Format kPlainText = {"text", kTextExtensions, extract};
const Format kMarkdown = {"markdown", kMarkdownExtensions, extract};

}  // namespace tw
