// HDF5 objects with owners, and its return codes as errors that carry the library's own words.
#pragma once
#include <hdf5.h>

#include <string>

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

}  // namespace tw::h5
