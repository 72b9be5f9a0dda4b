#include "src/codec/codebook.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/json_guard.h"

namespace tw {

nlohmann::json read_codebook(const std::filesystem::path& path, std::initializer_list<const char*> formats, const char* what, size_t most, size_t values) {
  const std::string text = read_file(path, most), file = path.string();
  check_json_structure(text, {.depth = 6, .values = values}, file);
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  const auto format = json.is_object() ? json.value("format", nlohmann::json()) : nlohmann::json();
  TW_CHECK(std::any_of(formats.begin(), formats.end(), [&](const char* f) { return format == f; }), data, "{} is no codebook of {} (\"{}\")", file, what, fmt::join(formats, "\" or \""));
  return json;
}

nlohmann::json json_of(const VectorBook& book) { return {{"dimension", book.dimension()}, {"vectors", book.vectors()}}; }

VectorBook book_of(const nlohmann::json& json, const std::string& file, size_t most) {
  TW_CHECK(json.is_object() && json.contains("dimension") && json["dimension"].is_number_integer() && json.contains("vectors") && json["vectors"].is_array(), data,
           "{}: a book without its vectors", file);
  const auto dimension = json["dimension"].get<int64_t>();
  const auto& list = json["vectors"];
  TW_CHECK(dimension >= 1 && dimension <= 4096 && !list.empty() && list.size() % size_t(dimension) == 0 && list.size() / size_t(dimension) <= most, data, "{}: {} numbers are no vectors of {}",
           file, list.size(), dimension);
  std::vector<float> vectors;
  for (const auto& v : list) {
    TW_CHECK(v.is_number() && std::abs(v.get<double>()) <= 1e6, data, "{}: {} in a vector", file, v.dump());
    vectors.push_back(v.get<float>());
  }
  return VectorBook(int(dimension), std::move(vectors));
}

}  // namespace tw
