// The idx format of MNIST (LeCun, Cortes): numbers behind a head of sizes, big endian; bytes alone are read, also packed by gzip.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

namespace tw {

bool is_idx(std::string_view bytes) noexcept;  // begins as one, or as gzip

// Calls visit(pixels, width, height, label) for each picture of an idx3 file of bytes, one in memory at a time; labels: an idx1 file or "".
// label -1 = there are none. Error(data) where sizes or bytes do not fit.
void read_idx(std::string_view pictures, std::string_view labels, const std::function<void(const uint8_t* pixels, int width, int height, int label)>& visit);

}  // namespace tw
