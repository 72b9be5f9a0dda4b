// HDF5 files as others write them.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "src/hdf5/h5.h"

namespace tw::h5 {

struct ForeignKind {
  bool latest = false, chunked = false, deflate = false;
  hid_t type = H5T_STD_I32LE;  // in the file
  std::string dataset = "ids";
};

inline void write_foreign(const std::filesystem::path& path, const ForeignKind& kind, const std::vector<int64_t>& values) {
  const PropertyList access = make_property_list(H5P_FILE_ACCESS), create = make_property_list(H5P_DATASET_CREATE), links = make_property_list(H5P_LINK_CREATE);
  if (kind.latest) check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST), "version");
  const File file(check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), path.string()));
  const hsize_t n = values.size(), chunk = 256;
  const Dataspace space(check(H5Screate_simple(1, &n, nullptr), "space"));
  if (kind.chunked) check(H5Pset_chunk(create.get(), 1, &chunk), "chunk");
  if (kind.deflate) check(H5Pset_shuffle(create.get()), "shuffle"), check(H5Pset_deflate(create.get(), 6), "deflate");
  check(H5Pset_create_intermediate_group(links.get(), 1), "groups");
  const Dataset dataset(check(H5Dcreate2(file.get(), kind.dataset.c_str(), kind.type, space.get(), links.get(), create.get(), H5P_DEFAULT), kind.dataset));
  check(H5Dwrite(dataset.get(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), "values");
}

// The kinds there are, by what the library writes of them.
inline std::vector<ForeignKind> foreign_kinds() {
  return {{},
          {.latest = true},
          {.chunked = true},
          {.chunked = true, .deflate = true, .type = H5T_STD_U16LE},
          {.latest = true, .chunked = true, .deflate = true},
          {.type = H5T_STD_I64BE, .dataset = "train/de/ids"}};
}

}  // namespace tw::h5
