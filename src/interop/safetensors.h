// Safetensors files: 8 bytes of header length, a JSON header, then the tensors' bytes.
// https://github.com/huggingface/safetensors, "Format".
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "src/core/file.h"
#include "src/core/tensor.h"

namespace tw {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;           // "F32", "BF16", ... as in the file
  std::vector<int64_t> shape;
  size_t begin = 0, end = 0;   // bytes within the data part
  int64_t count() const;
};

// The header of `file`, all of its bytes. Everything is checked (header of at most 100 MB, no overlap, no holes, sizes
// that fit shapes): Error(data) names file, tensor and reason. By where they begin.
std::vector<SafetensorsEntry> parse_safetensors(std::string_view file, const std::string& name);

// A file mapped for reading. Its header is parsed in a sandbox (core/sandbox.h), and what that says is checked again.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  const std::vector<SafetensorsEntry>& entries() const noexcept { return entries_; }
  const SafetensorsEntry* find(const std::string& name) const noexcept;
  // Converts elements [begin, begin + n) of a tensor to fp32. F32, F16, BF16, F64; others are Error(data).
  void read(const SafetensorsEntry& entry, int64_t begin, int64_t n, float* out) const;
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  MappedFile map_;
  size_t data_begin_ = 0;
  std::vector<SafetensorsEntry> entries_;
};

// Writes fp32 values as `dtype` (fp32, bf16 or fp16); written under its name only when whole.
struct SafetensorsTensor {
  std::string name;
  std::vector<int64_t> shape;
  const float* values;
};
void write_safetensors(const std::filesystem::path& path, const std::vector<SafetensorsTensor>& tensors, DType dtype);

}  // namespace tw
