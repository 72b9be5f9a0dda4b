// A document of one format, as scan takes it.
#pragma once
#include <string_view>

namespace tw {
struct Format;
}
namespace tw::fuzz {
// Reads `input` twice: equal text, valid UTF-8, no document without an end.
void read_document_of(const Format& format, std::string_view input);
}  // namespace tw::fuzz
