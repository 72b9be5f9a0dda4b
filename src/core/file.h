// Files: every call checked, nothing half-written under its final name.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "src/core/error.h"
#include "src/core/handle.h"

namespace tw {

struct FileDescriptorTraits {
  using type = int;
  static type invalid() noexcept { return -1; }
  static void close(type fd) noexcept;
};
using FileDescriptor = Handle<FileDescriptorTraits>;

// Opens for reading. Error(no_input) names the file and the reason.
FileDescriptor open_to_read(const std::filesystem::path& path);
// Creates or truncates. Error(cannot_create).
FileDescriptor open_to_write(const std::filesystem::path& path);
FileDescriptor open_to_update(const std::filesystem::path& path);  // a file that is there
// All bytes or Error(io) naming `path`; short reads past the end are Error(data).
void read_exactly(int fd, void* data, size_t bytes, int64_t offset, const std::filesystem::path& path);
void write_exactly(int fd, const void* data, size_t bytes, int64_t offset, const std::filesystem::path& path);
int64_t file_size(const std::filesystem::path& path);  // Error(no_input)
// Error(io). A rename lasts once its folder is flushed too (fsync_path).
void flush_to_disk(int fd, const std::filesystem::path& path);
void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);

// The first file called `name` that may be run in the folders of `path`, which colons divide; empty where there is none.
std::filesystem::path find_program(std::string_view path, std::string_view name);

// A result for standard output. ClosedOutput where nobody reads it any more, Error(io).
void print(std::string_view text);
void flush_output();
// Not told to anybody: `tokenwerk man | head`.
struct ClosedOutput final : Error {
  using Error::Error;
};

// Whole file. Error(no_input) where it cannot be read, Error(data) where it is larger than `limit`.
std::string read_file(const std::filesystem::path& path, size_t limit = size_t(1) << 30);

// Writes NAME.tmp.<pid>; commit(): fsync, rename, fsync of the folder. Readers see the old file or the whole new one.
// Without commit() nothing is left. Error(cannot_create) or Error(io).
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::string_view content);
  void commit();
  int64_t bytes() const noexcept { return at_ + int64_t(waiting_.size()); }  // written so far

 private:
  void flush();
  std::filesystem::path path_, temporary_;  // empty after commit()
  FileDescriptor fd_;
  int64_t at_ = 0;
  std::string waiting_;
};

// Writes a file and flushes it; its name is not flushed. Error(cannot_create), Error(io).
void write_flushed(const std::filesystem::path& path, std::string_view content);
void write_file_atomically(const std::filesystem::path& path, std::string_view content);
void fsync_path(const std::filesystem::path& path);  // file or folder; Error(io)
void make_folders(const std::filesystem::path& path);  // Error(cannot_create)

// A file mapped for reading. Movable; the mapping ends with the object.
class MappedFile {
 public:
  MappedFile() noexcept = default;
  explicit MappedFile(const std::filesystem::path& path);  // Error(no_input)
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();
  const unsigned char* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  void unmap() noexcept;
  const unsigned char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace tw
