// HDF5 objects with owners, and its return codes as errors that carry the library's own words: for writing. Files of
// others are read by src/hdf5/reader.h alone.
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

// Creates a file of the 1.10 format; every dataset starts at a multiple of `alignment` bytes. Error(cannot_create).
File create_to_write(const std::filesystem::path& path, int64_t alignment);
// A contiguous dataset that has its place in the file at once and whose bytes HDF5 never writes; returns where they
// belong.
int64_t lay_out_contiguous(const File& file, const char* name, hid_t type, const std::vector<int64_t>& shape);
void write_int(const File& file, const char* name, int64_t value);
void write_text(const File& file, const char* name, const std::string& value);  // UTF-8, of fixed length

}  // namespace tw::h5
