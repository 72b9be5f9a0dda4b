// CRC32C finds damaged blocks, XXH3 tells tensors and files apart fast, SHA-256 crosses trust borders.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tw {

// CRC-32C (Castagnoli) of `data`, continued from `crc` (0 at the start).
uint32_t crc32c(const void* data, size_t bytes, uint32_t crc = 0) noexcept;
uint64_t xxh3(const void* data, size_t bytes) noexcept;
std::string hex(uint64_t value);  // 16 digits

// Streaming SHA-256 (FIPS 180-4).
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  Sha256& update(const void* data, size_t bytes);
  Sha256& update(std::string_view text) { return update(text.data(), text.size()); }
  std::string hex();  // 64 digits; ends the stream

 private:
  void* context_;
};

// Streaming XXH3 64.
class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  Xxh3(const Xxh3&) = delete;
  Xxh3& operator=(const Xxh3&) = delete;
  Xxh3& update(const void* data, size_t bytes);
  uint64_t value() const;

 private:
  void* state_;
};

}  // namespace tw
