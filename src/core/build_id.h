// Which build this program is.
#pragma once
#include <string>

namespace tw {
// In hexadecimal: the linker's build id of the executable (note NT_GNU_BUILD_ID), where it has none the XXH3 of its file.
// Two builds of the same sources may differ, equal files never do. "" where neither can be read.
std::string build_id();
}  // namespace tw
