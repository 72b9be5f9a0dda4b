// NumPy .npy files, version 1.0, C order.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "src/core/tensor.h"

namespace tw {

// Error(cannot_create), Error(io). fp32, fp64, i32 or i64.
void write_npy(const std::filesystem::path& path, ConstView array);

// Integer arrays of 8 to 64 bits or plain text of numbers ("1 2 3\n4 5 6": one row a line): rows of ids.
// Error(data) names the place of what is no id.
std::vector<std::vector<int32_t>> read_ids(const std::filesystem::path& path);
std::vector<std::vector<int32_t>> parse_ids(const std::string& text, const std::string& origin);

}  // namespace tw
