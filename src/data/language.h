// The language of a text.
#pragma once
#include <string>
#include <string_view>

namespace tw {

// ISO 639-1 code ("de"; three letters of ISO 639-3 where there is none of two), "" where it is not certain. The first
// kLanguageText bytes are looked at. text: valid UTF-8, also cut within a character. By libcld2.
inline constexpr size_t kLanguageText = size_t(32) << 10;
std::string language_of(std::string_view text);

}  // namespace tw
