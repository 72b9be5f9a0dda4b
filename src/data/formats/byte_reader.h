// Bytes in pieces: of a file, or of what is packed inside one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>

#include "src/core/file.h"
#include "src/core/hash.h"

namespace tw {

class ByteReader {
 public:
  virtual ~ByteReader() = default;
  // Up to `bytes` (> 0) of those that come next; 0 at the end. Error(no_input), Error(data) name no file.
  virtual size_t read(char* data, size_t bytes) = 0;
  // How many bytes there are at most, as far as that is known: small files need no large block.
  virtual int64_t size_hint() const noexcept { return std::numeric_limits<int64_t>::max(); }
  // All of it, from the first byte on, as a file that can be sought in; to be called before read(), once. Here it is a
  // copy in memory. Error(data) where there is more than `most`.
  virtual FileDescriptor whole(int64_t most);
};

// A regular file, or Error(no_input).
class FileBytes final : public ByteReader {
 public:
  // Reading more than `most` bytes is Error(data), and grown() from then on: a file may grow for ever.
  explicit FileBytes(const std::filesystem::path& path, int64_t most = std::numeric_limits<int64_t>::max());
  size_t read(char* data, size_t bytes) override;
  int64_t size_hint() const noexcept override { return size_; }
  FileDescriptor whole(int64_t most) override;  // the file itself
  int64_t bytes() const noexcept { return at_; }  // read so far
  bool grown() const noexcept { return at_ > most_; }
  std::string sha256();  // of the whole file: reads what is left of it. Once

 private:
  void drain();
  std::filesystem::path path_;
  int64_t most_, size_ = 0, at_ = 0;
  FileDescriptor fd_;  // after size_, which opening it sets
  Sha256 sum_;
};

// What is in memory.
class MemoryBytes final : public ByteReader {
 public:
  explicit MemoryBytes(std::string_view bytes) : rest_(bytes) {}
  size_t read(char* data, size_t bytes) override;
  int64_t size_hint() const noexcept override { return int64_t(rest_.size()); }

 private:
  std::string_view rest_;
};

}  // namespace tw
