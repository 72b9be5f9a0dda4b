// The shape of a JSON text, checked before a parser builds anything of it: nothing nested deeply, and no swarm of
// small values that would take many times the file's size in memory.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace tw {

struct JsonLimits {
  int depth = 32;         // objects and arrays within each other
  size_t values = 1 << 20;  // commas, objects and arrays together
};

// Error(data) naming `where` (a file) if the text exceeds a limit. Says nothing about the rest of its syntax.
void check_json_structure(std::string_view text, const JsonLimits& limits, const std::string& where);

}  // namespace tw
