// The shape of a JSON text, checked before a parser builds anything of it: nothing nested deeply, and no swarm of
// small values that would take many times the file's size in memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tw {

struct JsonLimits {
  int depth = 32;         // objects and arrays within each other
  size_t values = 1 << 20;  // commas, objects and arrays together
};

// Error(data) naming `where` (a file) if the text exceeds a limit. Says nothing about the rest of its syntax.
void check_json_structure(std::string_view text, const JsonLimits& limits, const std::string& where);

// A value of nlohmann::json that is a whole number in [low, high], or nothing. The library's own get() casts what does
// not fit, a fraction or 1e300, which is undefined.
template <class Json>
std::optional<int64_t> whole_number(const Json& value, int64_t low = 0, int64_t high = int64_t(1) << 53) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.template get<uint64_t>() > uint64_t(INT64_MAX)) return std::nullopt;
  const auto n = value.template get<int64_t>();
  return n < low || n > high ? std::nullopt : std::optional<int64_t>(n);
}

}  // namespace tw
