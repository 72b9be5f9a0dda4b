// Reads float32 .npy fixtures (version 1.0, C order).
#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "src/core/file.h"

namespace tw {

inline std::vector<float> read_float_npy(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  EXPECT_NE(bytes.find("'<f4'"), std::string::npos) << path;
  const size_t header = size_t(static_cast<unsigned char>(bytes[8])) | size_t(static_cast<unsigned char>(bytes[9])) << 8;
  std::vector<float> values((bytes.size() - 10 - header) / 4);
  std::memcpy(values.data(), bytes.data() + 10 + header, values.size() * 4);
  return values;
}

}  // namespace tw
