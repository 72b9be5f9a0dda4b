// One file inside a ZIP archive. Nothing is written to disk, and names inside lead nowhere.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "src/core/file.h"

namespace tw {

// Gives the content of the first entry called `name`, piece by piece; false where there is none. `file` is sought to its
// start. Error(data) where it is no ZIP archive, the entry is encrypted or damaged, and where more comes out of the archive's
// bytes than check_unpacked() lets. By libarchive.
bool read_zip_entry(const FileDescriptor& file, std::string_view name, const std::function<void(std::string_view)>& take);

}  // namespace tw
