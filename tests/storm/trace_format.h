// What the disk tap appends for each call: a head, then path, other path and data.
#pragma once
#include <cstdint>

namespace tw::storm {

enum class Call : uint32_t { create, write, truncate, allocate, flush, rename, link, unlink, make_folder, remove_folder };

struct RecordHead {
  Call call;
  uint32_t thread;
  uint64_t inode;         // of the file or folder
  int64_t offset, length; // bytes; truncate: length is the new size
  uint32_t path_bytes, other_bytes;
  uint64_t data_bytes;
};

}  // namespace tw::storm
