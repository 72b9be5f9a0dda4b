#include "src/hdf5/h5.h"

namespace tw::h5 {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxText = 4096;  // bytes of a text attribute

}  // namespace

std::mutex& library_mutex() {
  static std::mutex mutex;
  return mutex;
}

File create_to_write(const fs::path& path, int64_t alignment) {
  const PropertyList access = make_property_list(H5P_FILE_ACCESS), make = make_property_list(H5P_FILE_CREATE);
  // One version for ever, not "the latest": readers are told to expect superblock 3.
  check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), "file format");
  check(H5Pset_alignment(access.get(), 1, hsize_t(alignment)), "alignment");
  check(H5Pset_small_data_block_size(access.get(), 0), "no block for small datasets");
  check(H5Pset_file_locking(access.get(), false, true), "locking");
  // Links and attributes in the object header itself, where they have checksums and need no heap.
  check(H5Pset_link_phase_change(make.get(), 64, 0), "compact links");
  check(H5Pset_attr_phase_change(make.get(), 64, 0), "compact attributes");
  check(H5Pset_obj_track_times(make.get(), false), "no times: equal content is equal bytes");
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, make.get(), access.get());
  TW_CHECK(file >= 0, cannot_create, "cannot create {}: {}", path.string(), last_message());
  return File(file);
}

int64_t lay_out_contiguous(const File& file, const char* name, hid_t type, const std::vector<int64_t>& shape) {
  const PropertyList create = make_property_list(H5P_DATASET_CREATE);
  check(H5Pset_layout(create.get(), H5D_CONTIGUOUS), "contiguous layout");
  check(H5Pset_alloc_time(create.get(), H5D_ALLOC_TIME_EARLY), "early allocation");
  check(H5Pset_fill_time(create.get(), H5D_FILL_TIME_NEVER), "no fill");
  check(H5Pset_obj_track_times(create.get(), false), "no times");
  const std::vector<hsize_t> dims(shape.begin(), shape.end());
  const Dataspace space(check(H5Screate_simple(int(dims.size()), dims.data(), nullptr), name));
  const Dataset dataset(
      check(H5Dcreate2(file.get(), name, type, space.get(), H5P_DEFAULT, create.get(), H5P_DEFAULT), name));
  for (const int64_t d : shape)
    if (d == 0) return 0;  // an empty dataset has no place
  const haddr_t offset = H5Dget_offset(dataset.get());
  TW_CHECK(offset != HADDR_UNDEF, bug, "HDF5 gave \"{}\" no place", name);
  return int64_t(offset);
}

void write_int(const File& file, const char* name, int64_t value) {
  const Dataspace space(check(H5Screate(H5S_SCALAR), name));
  const Attribute attribute(check(H5Acreate2(file.get(), name, H5T_STD_I64LE, space.get(), H5P_DEFAULT, H5P_DEFAULT), name));
  check(H5Awrite(attribute.get(), H5T_NATIVE_INT64, &value), name);
}

void write_text(const File& file, const char* name, const std::string& value) {
  TW_CHECK(value.size() < kMaxText, bug, "attribute \"{}\" has {} bytes, more than {}", name, value.size(), kMaxText - 1);
  const Datatype type(check(H5Tcopy(H5T_C_S1), name));
  check(H5Tset_size(type.get(), value.size() + 1), name);
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), name);
  const Dataspace space(check(H5Screate(H5S_SCALAR), name));
  const Attribute attribute(check(H5Acreate2(file.get(), name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), name));
  check(H5Awrite(attribute.get(), type.get(), value.c_str()), name);
}

}  // namespace tw::h5
