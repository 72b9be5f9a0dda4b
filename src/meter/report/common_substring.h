#pragma once
#include <cstddef>
#include <string_view>

namespace tw::report {

// The longest run of bytes that both texts have, of whole UTF-8 characters; length 0 where there is none.
struct CommonSubstring {
  size_t in_a = 0, in_b = 0, length = 0;
};
// O(bytes of a × bytes of b): for texts of some kilobytes.
CommonSubstring longest_common_substring(std::string_view a, std::string_view b);

}  // namespace tw::report
