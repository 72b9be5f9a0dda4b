// An HDF5 file of others as its reader sees it within a sandbox: opened out of memory, and what a dataset claims checked before a number of it is
// read.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/hdf5/h5.h"

namespace tw::h5 {

inline constexpr int64_t kMaxForeignRatio = 1100;  // elements of a dataset for each byte it takes in the file: deflate reaches 1032

// The HDF5 library opens nothing for it. Plug-ins are not loaded.
class OpenForeign {
 public:
  // `bytes` outlive it; `path` is for messages. Error(data).
  OpenForeign(std::string_view bytes, const std::string& path);
  hid_t get() const noexcept { return file_.get(); }

 private:
  struct Image {
    void* data;
  } image_;
  Silence silence_;
  File file_;
};

// Elements along each axis of a chunk; none where there are no chunks.
using Chunk = std::vector<uint64_t>;
// The layout holds nothing but bytes of this file, by filters of HDF5's own, and as many as the dataset claims. Error(data) "WHAT …".
Chunk check_storage(hid_t dataset, int rank, int64_t elements, size_t element_bytes, const std::string& what);

}  // namespace tw::h5
