#include "src/data/formats/format.h"

#include <algorithm>
#include <string>

#include "src/core/error.h"
#include "src/core/utf8.h"
#include "src/data/formats/packed.h"

namespace tw {
namespace {
constexpr const Format* kFormats[] = {&kPlainText, &kMarkdown, &kHtml, &kPdf, &kDocx, &kOdt, &kJsonLines, &kCsv, &kMail, &kSource};

bool has(std::span<const std::string_view> names, std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); }
}  // namespace

std::span<const Format* const> all_formats() noexcept { return kFormats; }

const Format* find_format(const std::filesystem::path& path) {
  const std::filesystem::path inner = unpacked_name(path);
  const std::string name = ascii_lower(inner.filename().string());
  std::string extension = ascii_lower(inner.extension().string());
  for (const Format* f : kFormats)
    if (has(f->names, name)) return f;
  if (extension.empty()) return inner != path ? &kPlainText : nullptr;
  extension.erase(0, 1);
  for (const Format* f : kFormats)
    if (has(f->extensions, extension)) return f;
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
