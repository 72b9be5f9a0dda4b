#include "src/core/json_guard.h"

#include "src/core/error.h"

namespace tw {

void check_json_structure(std::string_view text, const JsonLimits& limits, const std::string& where) {
  int depth = 0;
  size_t values = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '{' || c == '[') {
      ++depth;
      TW_CHECK(depth <= limits.depth, data, "{} is nested too deeply: more than {} objects and arrays", where, limits.depth);
    }
    if (c == '}' || c == ']') --depth;
    values += c == ',' || c == '{' || c == '[';
  }
  TW_CHECK(values <= limits.values, data, "{} has {} values in {} bytes, more than its kind of file has", where, values,
           text.size());
}

}  // namespace tw
