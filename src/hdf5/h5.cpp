#include "src/hdf5/h5.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "src/core/file.h"

namespace tw::h5 {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxText = 4096;  // bytes of a text attribute

// Superblock 3, offsets and lengths of 8 bytes; the end of the file stands at byte 28. HDF5 file format 3.0, II.A.
void check_superblock(const fs::path& path) {
  struct stat s {};
  TW_CHECK(::stat(path.c_str(), &s) == 0, no_input, "cannot read {}: {}", path.string(), std::strerror(errno));
  TW_CHECK(S_ISREG(s.st_mode), no_input, "cannot read {}: it is not a regular file", path.string());
  const FileDescriptor fd = tw::open_to_read(path);
  TW_CHECK(s.st_size >= 48, data, "{} has {} bytes: too few for an HDF5 file", path.string(), s.st_size);
  unsigned char head[48];
  read_exactly(fd.get(), head, sizeof head, 0, path);
  TW_CHECK(std::memcmp(head, "\x89HDF\r\n\x1a\n", 8) == 0, data, "{} is not an HDF5 file", path.string());
  TW_CHECK(head[8] == 3 && head[9] == 8 && head[10] == 8, data,
           "{} is an HDF5 file of another format version ({}; wanted 3, which HDF5 1.10 writes with libver='v110')",
           path.string(), head[8]);
  uint64_t base = 0, end = 0;
  std::memcpy(&base, head + 12, 8);
  std::memcpy(&end, head + 28, 8);
  TW_CHECK(base == 0, data, "{} has a user block, which is not supported", path.string());
  TW_CHECK(end == uint64_t(s.st_size), data, "{} has {} bytes instead of {}: it is {}", path.string(), s.st_size, end,
           uint64_t(s.st_size) < end ? "cut off" : "damaged");
}

// Everything HDF5 reports about a file of others is damage of that file.
template <class Code>
Code sound(Code code, const fs::path& path, const char* what) {
  TW_CHECK(code >= 0, data, "{} is damaged: HDF5 cannot read {}: {}", path.string(), what, last_message());
  return code;
}

Attribute open_attribute(const File& file, const fs::path& path, const char* name) {
  TW_CHECK(sound(H5Aexists(file.get(), name), path, name) > 0, data, "{} has no attribute \"{}\"", path.string(), name);
  Attribute attribute(sound(H5Aopen(file.get(), name, H5P_DEFAULT), path, name));
  const Dataspace space(sound(H5Aget_space(attribute.get()), path, name));
  TW_CHECK(H5Sget_simple_extent_type(space.get()) == H5S_SCALAR, data, "{}: attribute \"{}\" is not a single value",
           path.string(), name);
  return attribute;
}

}  // namespace

std::mutex& library_mutex() {
  static std::mutex mutex;
  return mutex;
}

File open_to_read(const fs::path& path) {
  check_superblock(path);
  const PropertyList access = make_property_list(H5P_FILE_ACCESS);
  check(H5Pset_file_locking(access.get(), false, true), "locking");
  return File(sound(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), path, "it"));
}

bool has_dataset(const File& file, const fs::path& path, const char* name) {
  if (sound(H5Lexists(file.get(), name, H5P_DEFAULT), path, name) == 0) return false;
  H5L_info_t link{};
  sound(H5Lget_info(file.get(), name, &link, H5P_DEFAULT), path, name);
  TW_CHECK(link.type == H5L_TYPE_HARD, data, "{}: \"{}\" is a link to another place, which is not followed",
           path.string(), name);
  return true;
}

Extent find_contiguous(const File& file, const fs::path& path, const char* name, int rank,
                       const std::vector<hid_t>& types) {
  TW_CHECK(has_dataset(file, path, name), data, "{} has no dataset \"{}\"", path.string(), name);
  H5O_info_t object{};
  sound(H5Oget_info_by_name2(file.get(), name, &object, H5O_INFO_BASIC, H5P_DEFAULT), path, name);
  TW_CHECK(object.type == H5O_TYPE_DATASET, data, "{}: \"{}\" is not a dataset", path.string(), name);
  const Dataset dataset(sound(H5Dopen2(file.get(), name, H5P_DEFAULT), path, name));

  const PropertyList made(sound(H5Dget_create_plist(dataset.get()), path, name));
  TW_CHECK(H5Pget_layout(made.get()) == H5D_CONTIGUOUS && H5Pget_nfilters(made.get()) == 0 &&
               H5Pget_external_count(made.get()) == 0,
           data, "{}: \"{}\" must lie in one piece: contiguous, not compressed, not in other files", path.string(), name);

  const Datatype type(sound(H5Dget_type(dataset.get()), path, name));
  bool known = false;
  for (const hid_t t : types) known = known || H5Tequal(type.get(), t) > 0;
  TW_CHECK(known, data, "{}: \"{}\" has elements of another type than expected", path.string(), name);
  Extent extent;
  extent.element_bytes = int(H5Tget_size(type.get()));

  const Dataspace space(sound(H5Dget_space(dataset.get()), path, name));
  const bool simple = H5Sget_simple_extent_type(space.get()) == H5S_SIMPLE;
  const int got = simple ? H5Sget_simple_extent_ndims(space.get()) : -1;
  TW_CHECK(got == rank && rank <= H5S_MAX_RANK, data, "{}: \"{}\" must have {} dimension(s)", path.string(), name, rank);
  std::vector<hsize_t> dims(static_cast<size_t>(rank));
  sound(H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr), path, name);

  const uint64_t size = uint64_t(tw::file_size(path));
  uint64_t bytes = uint64_t(extent.element_bytes);
  for (const hsize_t d : dims) {
    TW_CHECK(d == 0 || bytes <= size / d, data, "{} is damaged: \"{}\" is larger than the file", path.string(), name);
    bytes *= d;
    extent.shape.push_back(int64_t(d));
  }
  if (bytes == 0) return extent;
  const haddr_t offset = H5Dget_offset(dataset.get());
  TW_CHECK(offset != HADDR_UNDEF && offset <= size && bytes <= size - offset, data,
           "{} is damaged: \"{}\" reaches beyond the end of the file", path.string(), name);
  extent.offset = int64_t(offset);
  return extent;
}

int64_t read_int(const File& file, const fs::path& path, const char* name) {
  const Attribute attribute = open_attribute(file, path, name);
  const Datatype type(sound(H5Aget_type(attribute.get()), path, name));
  TW_CHECK(H5Tget_class(type.get()) == H5T_INTEGER && H5Tget_size(type.get()) <= 8, data,
           "{}: attribute \"{}\" is not an integer", path.string(), name);
  int64_t value = 0;
  sound(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), path, name);
  return value;
}

std::string read_text(const File& file, const fs::path& path, const char* name) {
  const Attribute attribute = open_attribute(file, path, name);
  const Datatype type(sound(H5Aget_type(attribute.get()), path, name));
  const size_t bytes = H5Tget_size(type.get());
  TW_CHECK(H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) == 0 && bytes <= kMaxText, data,
           "{}: attribute \"{}\" is not a text of fixed length up to {} bytes", path.string(), name, kMaxText);
  std::string value(bytes, '\0');
  sound(H5Aread(attribute.get(), type.get(), value.data()), path, name);
  return value.substr(0, value.find('\0'));
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
