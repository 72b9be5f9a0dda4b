// HDF5 objects with owners, its return codes as errors that carry the library's own words, and files opened so that
// a damaged one cannot do harm.
#pragma once
#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "src/core/error.h"
#include "src/core/handle.h"
#include "src/core/log.h"

namespace tw::h5 {

template <herr_t (*kClose)(hid_t)>
struct Traits {
  using type = hid_t;
  static type invalid() noexcept { return H5I_INVALID_HID; }
  static void close(type id) noexcept {
    if (kClose(id) < 0) log_line(LogLevel::quiet, "warning: closing an HDF5 object failed");
  }
};
using File = Handle<Traits<H5Fclose>>;
using Dataset = Handle<Traits<H5Dclose>>;
using Dataspace = Handle<Traits<H5Sclose>>;
using Attribute = Handle<Traits<H5Aclose>>;
using PropertyList = Handle<Traits<H5Pclose>>;
using Datatype = Handle<Traits<H5Tclose>>;

// What HDF5 says about the last failure in this thread: the innermost message.
inline std::string last_message() {
  std::string text;
  const auto take = [](unsigned, const H5E_error2_t* e, void* out) -> herr_t {
    if (e->desc) *static_cast<std::string*>(out) = e->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, take, &text);
  return text.empty() ? "no reason given" : text;
}

// Negative = failed, for identifiers and return codes alike. Error(io).
template <class Code>
Code check(Code code, const std::string& what) {
  TW_CHECK(code >= 0, io, "HDF5: {} failed: {}", what, last_message());
  return code;
}

inline PropertyList make_property_list(hid_t kind) { return PropertyList(check(H5Pcreate(kind), "a property list")); }

// HDF5 prints no errors of this thread while it lives: check() reports them.
class Silence {
 public:
  Silence() {
    H5Eget_auto2(H5E_DEFAULT, &print_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  ~Silence() { H5Eset_auto2(H5E_DEFAULT, print_, data_); }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  H5E_auto2_t print_ = nullptr;
  void* data_ = nullptr;
};

// HDF5 need not be built thread-safe, and ranks may be threads: hold it around every use.
std::mutex& library_mutex();

// ---- reading files of others ----

// Opens a file of the format HDF5 1.10 writes (superblock 3), whose metadata has checksums: the library can crash on
// damaged files of the older ones. Takes no lock, so it works on any file system. Error(no_input) where it cannot be
// read or is not a regular file, Error(data) where it is no such file, is cut off, or HDF5 refuses it.
File open_to_read(const std::filesystem::path& path);
// False where there is no such link; Error(data) where it leads elsewhere (soft, external).
bool has_dataset(const File& file, const std::filesystem::path& path, const char* name);

// A dataset whose bytes lie in one piece of the file.
struct Extent {
  int64_t offset = 0;              // of the first byte in the file
  std::vector<int64_t> shape;
  int element_bytes = 0;
  int64_t elements() const noexcept {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
};
// Error(data) where the dataset is missing, is not of `type` (nullptr-terminated list of what may be), of another rank,
// chunked, filtered, virtual, kept in other files, or reaches beyond the end of the file.
Extent find_contiguous(const File& file, const std::filesystem::path& path, const char* name, int rank,
                       const std::vector<hid_t>& types);

// Attributes of the root group; Error(data) where one is missing or of another kind.
int64_t read_int(const File& file, const std::filesystem::path& path, const char* name);
std::string read_text(const File& file, const std::filesystem::path& path, const char* name);

// ---- writing ----

// Creates a file of the 1.10 format; every dataset starts at a multiple of `alignment` bytes. Error(cannot_create).
File create_to_write(const std::filesystem::path& path, int64_t alignment);
// A contiguous dataset that has its place in the file at once and whose bytes HDF5 never writes; returns where they
// belong.
int64_t lay_out_contiguous(const File& file, const char* name, hid_t type, const std::vector<int64_t>& shape);
void write_int(const File& file, const char* name, int64_t value);
void write_text(const File& file, const char* name, const std::string& value);  // UTF-8, of fixed length

}  // namespace tw::h5
