#include "src/data/formats/format.h"

#include <algorithm>
#include <cctype>
#include <string>

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

}  // namespace tw
