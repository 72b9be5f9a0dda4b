#include "src/data/formats/format.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "src/core/error.h"

namespace tw {
namespace {
constexpr const Format* kFormats[] = {&kPlainText, &kMarkdown, &kHtml};
}  // namespace

std::span<const Format* const> all_formats() noexcept { return kFormats; }

const Format* find_format(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  if (extension.empty()) return nullptr;
  extension.erase(0, 1);
  for (char& c : extension) c = char(std::tolower(static_cast<unsigned char>(c)));
  for (const Format* f : kFormats)
    if (std::find(f->extensions.begin(), f->extensions.end(), extension) != f->extensions.end()) return f;
  return nullptr;
}

const Format* format_of_kind(std::string_view kind) noexcept {
  for (const Format* f : kFormats)
    if (f->kind == kind) return f;
  return nullptr;
}

DocumentReport inspect_document(const Format& format, ByteReader& file) {
  if (!format.from_text) return {};
  const ByteReport report = inspect_bytes(file);
  if (report.bytes == 0) return {.reason = "empty"};
  if (report.binary) return {.reason = report.reason};
  return {.encoding = report.encoding};
}

void extract(const Format& format, std::optional<Encoding> encoding, ByteReader& file, DocumentSink& sink) {
  if (format.from_bytes) return format.from_bytes(file, sink);
  TW_CHECK(encoding, data, "the encoding of a file of kind {} is not known: scan the folder again", format.kind);
  TextReader text(file, *encoding);
  format.from_text(text, sink);
}

}  // namespace tw
