// Files packed as a whole: NAME.gz, NAME.zst and NAME.xz are read like NAME.
#pragma once
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>

#include "src/data/formats/byte_reader.h"

namespace tw {

// "a.txt.gz" -> "a.txt"; what is not packed stays as it is.
std::filesystem::path unpacked_name(const std::filesystem::path& path);

// Reads what the ending of `path` says is packed (gzip RFC 1952, Zstandard RFC 8878, xz; several members follow each
// other) in constant memory; null where it says nothing. `packed` must outlive it. read() is Error(data) where the bytes
// are damaged or cut off, where they want more than 128 MiB to be unpacked, and where more than 64 MiB + 200 times as
// many bytes come out as went in (check_unpacked).
std::unique_ptr<ByteReader> unpack(const std::filesystem::path& path, ByteReader& packed);

// Error(data) where `out` bytes are more than 64 MiB + 200 times the `in` packed ones: such files are made to fill disks.
void check_unpacked(int64_t out, int64_t in);

// A file of a folder and what is read of it: its bytes, or what they unpack to.
class DocumentFile {
 public:
  // As FileBytes, whose sum and size are those of the file as it lies there.
  explicit DocumentFile(const std::filesystem::path& path, int64_t most = std::numeric_limits<int64_t>::max())
      : file_(path, most), inside_(unpack(path, file_)) {}
  DocumentFile(const DocumentFile&) = delete;  // inside_ reads file_
  DocumentFile& operator=(const DocumentFile&) = delete;
  FileBytes& file() noexcept { return file_; }
  ByteReader& content() noexcept { return inside_ ? *inside_ : file_; }

 private:
  FileBytes file_;
  std::unique_ptr<ByteReader> inside_;
};

}  // namespace tw
