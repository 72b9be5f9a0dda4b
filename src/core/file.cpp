#include "src/core/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "src/core/error.h"
#include "src/core/fault.h"
#include "src/core/log.h"

namespace tw {
namespace fs = std::filesystem;

void FileDescriptorTraits::close(type fd) noexcept {
  if (::close(fd) != 0) log_line(LogLevel::quiet, std::string("warning: close failed: ") + std::strerror(errno));
}

FileDescriptor open_to_read(const fs::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  TW_CHECK(fd, no_input, "cannot read {}: {}", path.string(), std::strerror(errno));
  struct stat s {};
  TW_CHECK(::fstat(fd.get(), &s) == 0 && !S_ISDIR(s.st_mode), no_input, "cannot read {}: it is a folder", path.string());
  return fd;
}

FileDescriptor open_to_write(const fs::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  TW_CHECK(fd, cannot_create, "cannot create {}: {}", path.string(), std::strerror(errno));
  return fd;
}

FileDescriptor open_to_update(const fs::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  TW_CHECK(fd, cannot_create, "cannot write to {}: {}", path.string(), std::strerror(errno));
  return fd;
}

fs::path find_program(std::string_view path, std::string_view name) {
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find(':', at), path.size());
    const fs::path file = fs::path(path.substr(at, end - at)) / name;
    std::error_code absent;
    if (end > at && fs::is_regular_file(file, absent) && ::access(file.c_str(), X_OK) == 0) return file;
    at = end + 1;
  }
  return {};
}

namespace {
[[noreturn]] void output_failed() {
  if (errno == EPIPE) throw ClosedOutput(ExitCode::io, "standard output: nobody reads it");
  TW_FAIL(io, "standard output: {}", std::strerror(errno));
}
}  // namespace

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) output_failed();
}

void flush_output() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) output_failed();
}

void read_exactly(int fd, void* data, size_t bytes, int64_t offset, const fs::path& path) {
  char* p = static_cast<char*>(data);
  while (bytes) {
    const ssize_t n = ::pread(fd, p, bytes, offset);
    if (n < 0 && errno == EINTR) continue;
    TW_CHECK(n >= 0, io, "reading {} at byte {} failed: {}", path.string(), offset, std::strerror(errno));
    TW_CHECK(n > 0, data, "{} ends at byte {}, {} bytes earlier than it should", path.string(), offset, bytes);
    p += n, bytes -= size_t(n), offset += n;
  }
}

void write_exactly(int fd, const void* data, size_t bytes, int64_t offset, const fs::path& path) {
  const char* p = static_cast<const char*>(data);
  while (bytes) {
    fault_point("file.write");
    const ssize_t n = ::pwrite(fd, p, bytes, offset);
    if (n < 0 && errno == EINTR) continue;
    TW_CHECK(n > 0, io, "writing {} at byte {} failed: {} ({} bytes left)", path.string(), offset,
             n < 0 ? std::strerror(errno) : "nothing was written", bytes);
    p += n, bytes -= size_t(n), offset += n;
  }
}

int64_t file_size(const fs::path& path) {
  struct stat s {};
  TW_CHECK(::stat(path.c_str(), &s) == 0, no_input, "cannot read {}: {}", path.string(), std::strerror(errno));
  return s.st_size;
}

std::string read_file(const fs::path& path, size_t limit) {
  FileDescriptor fd = open_to_read(path);
  struct stat s {};
  TW_CHECK(::fstat(fd.get(), &s) == 0, no_input, "cannot read {}: {}", path.string(), std::strerror(errno));
  std::string text;
  // Sizes of pipes and /proc files are not known beforehand: read until the end, within the limit.
  size_t chunk = S_ISREG(s.st_mode) && s.st_size > 0 ? size_t(s.st_size) : size_t(1) << 16;
  TW_CHECK(chunk <= limit, data, "{} has {} bytes, more than the limit of {}", path.string(), chunk, limit);
  for (;;) {
    const size_t have = text.size();
    text.resize(have + chunk);
    const ssize_t n = ::read(fd.get(), text.data() + have, chunk);
    if (n < 0 && errno == EINTR) {
      text.resize(have);
      continue;
    }
    TW_CHECK(n >= 0, no_input, "cannot read {}: {}", path.string(), std::strerror(errno));
    text.resize(have + size_t(n));
    if (n == 0) return text;
    TW_CHECK(text.size() <= limit, data, "{} is larger than the limit of {} bytes", path.string(), limit);
    chunk = size_t(1) << 16;
  }
}

void flush_to_disk(int fd, const fs::path& path) {
  fault_point("file.fsync");
  TW_CHECK(::fsync(fd) == 0, io, "flushing {} to disk failed: {}", path.string(), std::strerror(errno));
}

void rename_file(const fs::path& from, const fs::path& to) {
  fault_point("file.rename");
  TW_CHECK(::rename(from.c_str(), to.c_str()) == 0, io, "renaming {} to {} failed: {}", from.string(), to.string(), std::strerror(errno));
}

void fsync_path(const fs::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  TW_CHECK(fd, io, "cannot open {} to flush it: {}", path.string(), std::strerror(errno));
  flush_to_disk(fd.get(), path);
}

void make_folders(const fs::path& path) {
  std::error_code e;
  fs::create_directories(path, e);
  TW_CHECK(!e && fs::is_directory(path), cannot_create, "cannot create the folder {}: {}", path.string(),
           e ? e.message() : "a file of that name is in the way");
}

void write_flushed(const fs::path& path, std::string_view content) {
  const FileDescriptor fd = open_to_write(path);
  write_exactly(fd.get(), content.data(), content.size(), 0, path);
  flush_to_disk(fd.get(), path);
}

AtomicFile::AtomicFile(const fs::path& path)
    : path_(path), temporary_(path.string() + ".tmp." + std::to_string(::getpid())), fd_(open_to_write(temporary_)) {}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view content) {
  constexpr size_t kBuffer = size_t(1) << 18;
  if (waiting_.size() + content.size() > kBuffer) flush();
  if (content.size() > kBuffer) {
    write_exactly(fd_.get(), content.data(), content.size(), at_, temporary_);
    at_ += int64_t(content.size());
  } else {
    waiting_ += content;
  }
}

void AtomicFile::flush() {
  write_exactly(fd_.get(), waiting_.data(), waiting_.size(), at_, temporary_);
  at_ += int64_t(waiting_.size());
  waiting_.clear();
}

void AtomicFile::commit() {
  flush();
  flush_to_disk(fd_.get(), temporary_);
  fd_.reset();
  rename_file(temporary_, path_);
  temporary_.clear();
  fsync_path(path_.has_parent_path() ? path_.parent_path() : fs::path("."));
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

MappedFile::MappedFile(const fs::path& path) {
  FileDescriptor fd = open_to_read(path);
  struct stat s {};
  TW_CHECK(::fstat(fd.get(), &s) == 0, no_input, "cannot read {}: {}", path.string(), std::strerror(errno));
  size_ = size_t(s.st_size);
  if (size_ == 0) return;
  void* p = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd.get(), 0);
  TW_CHECK(p != MAP_FAILED, no_input, "cannot map {}: {}", path.string(), std::strerror(errno));
  data_ = static_cast<const unsigned char*>(p);
}
MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}
MappedFile::~MappedFile() { unmap(); }
void MappedFile::unmap() noexcept {
  if (data_) ::munmap(const_cast<unsigned char*>(data_), size_);
  data_ = nullptr;
}

}  // namespace tw
