// Archives for tests: gzip, bare deflate, ZIP.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

// `container`: 31 = gzip, -15 = bare deflate, as in ZIP files.
std::string deflated(std::string_view text, int container = 31);

struct ZipEntry {
  std::string name, content;
  uint64_t claimed = 0;  // 0 = the size it has
  bool stored = false;   // as it is
};
// A ZIP file (APPNOTE 6.3.3): local entries, directory, its end. The directory lists each entry `times_listed` times.
std::string zip(const std::vector<ZipEntry>& entries, size_t times_listed = 1);

}  // namespace tw
