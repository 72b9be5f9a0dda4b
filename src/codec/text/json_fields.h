// Typed access to a tokenizer's JSON, with the path of the key in every error.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "src/core/error.h"
#include "src/core/json_guard.h"

namespace tw {

class JsonNode {
 public:
  JsonNode(const nlohmann::json& json, std::string where) : json_(&json), where_(std::move(where)) {}

  const std::string& where() const noexcept { return where_; }
  const nlohmann::json& raw() const noexcept { return *json_; }
  bool is_null() const noexcept { return json_->is_null(); }
  bool is_text() const noexcept { return json_->is_string(); }
  bool is_object() const noexcept { return json_->is_object(); }
  bool has(const char* key) const { return json_->is_object() && json_->contains(key) && !(*json_)[key].is_null(); }
  // The value of a key; null where there is none.
  JsonNode operator[](const char* key) const {
    static const nlohmann::json kNull;
    TW_CHECK(json_->is_object(), data, "{} is not an object", where_);
    const auto found = json_->find(key);
    return {found == json_->end() ? kNull : *found, fmt::format("{}.{}", where_, key)};
  }
  JsonNode at(size_t i) const { return {(*json_)[i], fmt::format("{}[{}]", where_, i)}; }
  size_t size() const {
    TW_CHECK(json_->is_array(), data, "{} is not an array", where_);
    return json_->size();
  }
  const std::string& text() const {
    TW_CHECK(json_->is_string(), data, "{} is not a text", where_);
    return json_->get_ref<const std::string&>();
  }
  std::string text_or(const char* key, const char* otherwise) const { return has(key) ? (*this)[key].text() : otherwise; }
  bool flag_or(const char* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    const JsonNode value = (*this)[key];
    TW_CHECK(value.json_->is_boolean(), data, "{} is not true or false", value.where_);
    return value.json_->get<bool>();
  }
  // In [0, limit).
  int64_t whole(int64_t limit) const {
    TW_CHECK(json_->is_number_integer(), data, "{} is not a whole number", where_);
    const bool fits = json_->is_number_unsigned() ? json_->get<uint64_t>() < uint64_t(limit) : false;
    TW_CHECK(fits, data, "{} = {} is not in [0, {})", where_, json_->dump(), limit);
    return json_->get<int64_t>();
  }

 private:
  const nlohmann::json* json_;
  std::string where_;
};

inline nlohmann::json parse_tokenizer_file(std::string_view text, const std::string& file) {
  check_json_structure(text, {.depth = 32, .values = size_t(1) << 24}, file);
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    TW_FAIL(data, "{} is not JSON: {}", file, e.what());
  }
}

}  // namespace tw
