#include "src/data/formats/byte_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "src/core/error.h"
#include "src/core/format.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBlock = size_t(64) << 10;

// A pipe or device would keep the reader waiting.
FileDescriptor open_regular(const fs::path& path, int64_t& size) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  TW_CHECK(fd, no_input, "cannot read {}: {}", path.string(), std::strerror(errno));
  struct stat s {};
  TW_CHECK(::fstat(fd.get(), &s) == 0, no_input, "cannot read {}: {}", path.string(), std::strerror(errno));
  TW_CHECK(S_ISREG(s.st_mode), no_input, "cannot read {}: it is not a regular file", path.string());
  size = s.st_size;
  return fd;
}

}  // namespace

FileDescriptor ByteReader::whole(int64_t most) {
  FileDescriptor copy(::memfd_create("document", MFD_CLOEXEC));
  TW_CHECK(copy, io, "memory for a document cannot be had: {}", std::strerror(errno));
  std::vector<char> block(kBlock);
  int64_t at = 0;
  while (const size_t n = read(block.data(), block.size())) {
    TW_CHECK(int64_t(n) <= most - at, data, "larger than {}, the limit of this kind", human_bytes(double(most)));
    write_exactly(copy.get(), block.data(), n, at, "a copy in memory");
    at += int64_t(n);
  }
  return copy;
}

FileBytes::FileBytes(const fs::path& path, int64_t most) : path_(path), most_(most), fd_(open_regular(path, size_)) {}

size_t FileBytes::read(char* data, size_t bytes) {
  for (;;) {
    const ssize_t n = ::pread(fd_.get(), data, bytes, at_);  // who reads whole() moves the descriptor's place
    if (n < 0 && errno == EINTR) continue;
    TW_CHECK(n >= 0, no_input, "cannot read {}: {}", path_.string(), std::strerror(errno));
    at_ += n;
    TW_CHECK(!grown(), data, "it grows while it is read");
    sum_.update(data, size_t(n));
    return size_t(n);
  }
}

void FileBytes::drain() {
  std::vector<char> block(kBlock);
  while (read(block.data(), block.size()) > 0) {
  }
}

FileDescriptor FileBytes::whole(int64_t most) {
  TW_CHECK(size_ <= most, data, "larger than {}, the limit of this kind", human_bytes(double(most)));
  FileDescriptor same(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  TW_CHECK(same && ::lseek(same.get(), 0, SEEK_SET) == 0, io, "reading {} again failed: {}", path_.string(), std::strerror(errno));
  return same;
}

std::string FileBytes::sha256() {
  drain();
  return sum_.hex();
}

size_t MemoryBytes::read(char* data, size_t bytes) {
  const size_t n = std::min(bytes, rest_.size());
  std::memcpy(data, rest_.data(), n);
  rest_.remove_prefix(n);
  return n;
}

}  // namespace tw
