// Numbers and texts as people read them, and as they type them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace tw {
std::string human_bytes(double bytes);     // "1.5 MiB"
std::string human_count(double count);     // "12.3M", "4.1k", "17"
std::string human_seconds(double seconds); // "3 h 04 min", "2 min 10 s", "1.25 s", "3.1 ms"
std::string human_joules(double joules);   // "51.2 kJ", "3.10 mJ"
// The first and the last part of a text that is longer than `most` bytes, " […] " between them.
std::string shortened(std::string_view text, size_t most);
// Instead of more than two blank lines in a row "[17 blank lines]".
std::string blank_lines_folded(std::string_view text);
// The text as one word of a shell command, in quotes where it needs them.
std::string shell_word(std::string_view text);
}  // namespace tw
