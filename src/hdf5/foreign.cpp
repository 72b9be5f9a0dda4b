#include "src/hdf5/foreign.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "src/core/file.h"
#include "src/hdf5/h5.h"

namespace tw::h5 {
namespace {

constexpr int64_t kBlock = int64_t(1) << 16, kMaxChunk = int64_t(1) << 24;  // elements read at once
constexpr int64_t kMaxRatio = 1100;   // bytes of a dataset for each it takes in the file: deflate reaches 1032
constexpr size_t kMaxListed = 20, kMaxObjects = 100'000;

// The file as the HDF5 library sees it: bytes in memory, which are mapped already. So it opens nothing.
struct MappedImage {
  void* data;
  static void* give(size_t, H5FD_file_image_op_t, void* self) { return static_cast<MappedImage*>(self)->data; }
  static void* copy(void* to, const void*, size_t, H5FD_file_image_op_t, void*) { return to; }
  static void* resize(void*, size_t, H5FD_file_image_op_t, void*) { return nullptr; }
  static herr_t release(void*, H5FD_file_image_op_t, void*) { return 0; }
  static void* share(void* self) { return self; }
  static herr_t unshare(void*) { return 0; }
};

File open_image(MappedImage& image, size_t bytes, const std::string& path) {
  const PropertyList access = make_property_list(H5P_FILE_ACCESS);
  check(H5Pset_fapl_core(access.get(), 1 << 16, false), "core driver");
  H5FD_file_image_callbacks_t callbacks = {MappedImage::give,  MappedImage::copy,    MappedImage::resize, MappedImage::release,
                                           MappedImage::share, MappedImage::unshare, &image};
  check(H5Pset_file_image_callbacks(access.get(), &callbacks), "image callbacks");
  check(H5Pset_file_image(access.get(), image.data, bytes), "image");
  const hid_t file = H5Fopen("image", H5F_ACC_RDONLY, access.get());
  TW_CHECK(file >= 0, data, "{} cannot be opened by the HDF5 library: {}", path, last_message());
  return File(file);
}

bool is_integer(hid_t dataset) {
  const Datatype type(H5Dget_type(dataset));
  const Dataspace space(H5Dget_space(dataset));
  return type && space && H5Tget_class(type.get()) == H5T_INTEGER && H5Tget_size(type.get()) <= 8 &&
         H5Sget_simple_extent_ndims(space.get()) == 1;
}

// Names of all datasets that can be meant.
std::vector<std::string> list_integers(const File& file) {
  struct Found {
    std::vector<std::string> names;
    size_t seen = 0;
  } found;
  const auto look = [](hid_t group, const char* name, const H5L_info_t* info, void* out) -> herr_t {
    auto& f = *static_cast<Found*>(out);
    if (++f.seen > kMaxObjects || f.names.size() > kMaxListed) return 1;
    if (info->type != H5L_TYPE_HARD) return 0;
    const hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0) return 0;
    if (H5Iget_type(object) == H5I_DATASET && is_integer(object)) f.names.emplace_back(name);
    H5Oclose(object);
    return 0;
  };
  H5Lvisit(file.get(), H5_INDEX_NAME, H5_ITER_NATIVE, look, &found);
  return found.names;
}

// Every part of the way is a hard link: none leads out of the file.
void check_way(const File& file, const std::string& name, const std::string& path) {
  for (size_t end = name.find('/', 1);; end = name.find('/', end + 1)) {
    const std::string part = name.substr(0, end);
    H5L_info_t info;
    TW_CHECK(!part.empty() && H5Lexists(file.get(), part.c_str(), H5P_DEFAULT) > 0 && H5Lget_info(file.get(), part.c_str(), &info, H5P_DEFAULT) >= 0,
             data, "{} has no dataset \"{}\"", path, name);
    TW_CHECK(info.type == H5L_TYPE_HARD, data, "{}: \"{}\" is a link to another place, which is not followed", path, part);
    if (end == std::string::npos) return;
  }
}

// The layout holds nothing but bytes of this file; returns the elements of a chunk, 1 where there are none.
int64_t check_storage(hid_t dataset, int64_t elements, const std::string& what) {
  const PropertyList create(check(H5Dget_create_plist(dataset), "storage"));
  const H5D_layout_t layout = H5Pget_layout(create.get());
  TW_CHECK(layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED || layout == H5D_COMPACT, data,
           "{} is a virtual dataset: it takes its numbers from other files", what);
  TW_CHECK(H5Pget_external_count(create.get()) == 0, data, "{} lies in other files", what);
  const int filters = H5Pget_nfilters(create.get());
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0, configuration = 0;
    size_t values = 0;
    const H5Z_filter_t id = H5Pget_filter2(create.get(), unsigned(i), &flags, &values, nullptr, 0, nullptr, &configuration);
    TW_CHECK(id > 0 && id < H5Z_FILTER_RESERVED, data,
             "{} is compressed by filter {}, a plug-in; only HDF5's own are used: h5repack -f GZIP=1", what, id);
  }
  const auto stored = H5Dget_storage_size(dataset);
  TW_CHECK(stored > 0 || elements == 0, data, "{} was never written", what);
  TW_CHECK(uint64_t(elements) / uint64_t(kMaxRatio) <= stored, data, "{} claims {} numbers in {} bytes", what, elements, stored);
  if (layout != H5D_CHUNKED) return 1;
  hsize_t chunk = 0;
  TW_CHECK(H5Pget_chunk(create.get(), 1, &chunk) == 1 && chunk > 0 && int64_t(chunk) <= kMaxChunk, data,
           "{} has chunks of {} numbers, more than {}", what, chunk, kMaxChunk);
  return int64_t(chunk);
}

void send_integers(const MappedFile& map, const ForeignFile& wanted, const SandboxWrite& write) {
  const std::string path = wanted.path.string();
  H5PLset_loading_state(0);
  const Silence silence;
  MappedImage image{const_cast<unsigned char*>(map.data())};
  const File file = open_image(image, map.size(), path);
  std::string name = wanted.dataset;
  if (name.empty()) {
    const std::vector<std::string> names = list_integers(file);
    TW_CHECK(!names.empty(), data, "{} has no dataset of one dimension and of whole numbers", path);
    std::string all;
    for (const std::string& n : names) all += (all.empty() ? "" : ", ") + n;
    TW_CHECK(names.size() == 1, data, "{} has several datasets that may be meant: {}", path, all);
    name = names[0];
  }
  check_way(file, name, path);
  const std::string what = path + ": \"" + name + "\"";
  const hid_t opened = H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT);
  TW_CHECK(opened >= 0, data, "{} is no dataset: {}", what, last_message());
  Dataset dataset(opened);
  TW_CHECK(is_integer(dataset.get()), data, "{} must have one dimension and whole numbers of at most 64 bits", what);
  const Dataspace space(check(H5Dget_space(dataset.get()), "extent"));
  const int64_t elements = H5Sget_simple_extent_npoints(space.get());
  TW_CHECK(elements >= 0, data, "{} has no extent", what);
  const int64_t chunk = check_storage(dataset.get(), elements, what);
  // Whole chunks: each is unpacked once.
  const int64_t block = std::max(kBlock / chunk, int64_t(1)) * chunk;
  std::vector<int64_t> values;
  for (int64_t at = 0; at < elements; at += block) {
    const hsize_t start = hsize_t(at), n = hsize_t(std::min(block, elements - at));
    values.resize(size_t(n));
    const Dataspace memory(check(H5Screate_simple(1, &n, nullptr), "block"));
    check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &start, nullptr, &n, nullptr), "block");
    TW_CHECK(H5Dread(dataset.get(), H5T_NATIVE_INT64, memory.get(), space.get(), H5P_DEFAULT, values.data()) >= 0, data,
             "{}: numbers {} to {} cannot be read: {}", what, at, at + int64_t(n), last_message());
    write({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int64_t)});
  }
}

}  // namespace

SandboxLimits foreign_limits(int64_t bytes) {
  SandboxLimits limits;
  limits.cpu_seconds = int(60 + std::min<int64_t>(bytes / 20'000'000, 1'000'000));
  limits.wall = std::chrono::seconds(2 * limits.cpu_seconds);
  limits.result = bytes <= (int64_t(1) << 48) ? std::max<int64_t>(bytes, 1) * 8 * kMaxRatio : int64_t(1) << 62;
  return limits;
}

int64_t read_foreign_integers(const ForeignFile& file, const std::function<void(std::span<const int64_t>)>& take) {
  const MappedFile map(file.path);
  TW_CHECK(map.size() > 0, data, "{} is empty", file.path.string());
  int64_t count = 0;
  std::string kept;  // less than a number
  std::vector<int64_t> values;
  run_sandboxed(
      file.path.string(), file.limits, [&](const SandboxWrite& write) { send_integers(map, file, write); },
      [&](std::string_view piece) {
        kept += piece;
        values.resize(kept.size() / sizeof(int64_t));
        const size_t whole = values.size() * sizeof(int64_t);
        std::memcpy(values.data(), kept.data(), whole);
        kept.erase(0, whole);
        count += int64_t(values.size());
        take(values);
      });
  TW_CHECK(kept.empty(), data, "{}: its reader gave half a number", file.path.string());
  return count;
}

}  // namespace tw::h5
