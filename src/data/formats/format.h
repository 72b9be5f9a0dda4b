// Kinds of files a folder is scanned for. A new one is a new file here: its Format, and a line in format.cpp.
#pragma once
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

#include "src/data/formats/encoding.h"

namespace tw {

// Called between two documents of a file that holds several (lines of JSON): their tokens are divided by the
// end-of-document token.
using DocumentEnd = std::function<void()>;

struct Format {
  std::string_view kind;                         // shown to people, stored in the inventory
  std::span<const std::string_view> extensions;  // lower case, without the dot
  // Gives the documents' text in pieces. Error(data) says why there is none.
  void (*extract)(TextReader& file, const TextSink& sink, const DocumentEnd& document_end);
};

extern const Format kPlainText, kMarkdown, kHtml;

std::span<const Format* const> all_formats() noexcept;
// By the extension, whatever its case; nullptr = none of ours.
const Format* find_format(const std::filesystem::path& path);
const Format* format_of_kind(std::string_view kind) noexcept;

// The text of an HTML document: paragraphs divided by an empty line, lists with "- " or their numbers, white space
// as a browser shows it, `pre` as it is; without scripts, styles, head and navigation. Linear in time, no recursion.
std::string html_to_text(std::string_view html);

}  // namespace tw
