#include "src/codec/codebook.h"

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/json_guard.h"

namespace tw {

nlohmann::json read_codebook(const std::filesystem::path& path, const char* format, const char* what, size_t most, size_t values) {
  const std::string text = read_file(path, most), file = path.string();
  check_json_structure(text, {.depth = 6, .values = values}, file);
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  TW_CHECK(json.is_object() && json.value("format", nlohmann::json()) == format, data, "{} is no codebook of {} (\"{}\")", file, what, format);
  return json;
}

}  // namespace tw
