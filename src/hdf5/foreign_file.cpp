#include "src/hdf5/foreign_file.h"

namespace tw::h5 {
namespace {

constexpr uint64_t kMaxChunk = uint64_t(1) << 27;  // bytes

// What the library asks of a file in memory, which is mapped already.
void* give(size_t, H5FD_file_image_op_t, void* image) { return *static_cast<void**>(image); }
void* copy(void* to, const void*, size_t, H5FD_file_image_op_t, void*) { return to; }
void* resize(void*, size_t, H5FD_file_image_op_t, void*) { return nullptr; }
herr_t release(void*, H5FD_file_image_op_t, void*) { return 0; }
void* share(void* image) { return image; }
herr_t unshare(void*) { return 0; }

}  // namespace

OpenForeign::OpenForeign(std::string_view bytes, const std::string& path) : image_{const_cast<char*>(bytes.data())} {
  H5PLset_loading_state(0);
  const PropertyList access = make_property_list(H5P_FILE_ACCESS);
  check(H5Pset_fapl_core(access.get(), 1 << 16, false), "core driver");
  H5FD_file_image_callbacks_t callbacks = {give, copy, resize, release, share, unshare, &image_};
  check(H5Pset_file_image_callbacks(access.get(), &callbacks), "image callbacks");
  check(H5Pset_file_image(access.get(), image_.data, bytes.size()), "image");
  const hid_t file = H5Fopen("image", H5F_ACC_RDONLY, access.get());
  TW_CHECK(file >= 0, data, "{} cannot be opened by the HDF5 library: {}", path, last_message());
  file_ = File(file);
}

Chunk check_storage(hid_t dataset, int rank, int64_t elements, size_t element_bytes, const std::string& what) {
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
  TW_CHECK(uint64_t(elements) / uint64_t(kMaxForeignRatio) <= stored, data, "{} claims {} numbers in {} bytes", what, elements, stored);
  if (layout != H5D_CHUNKED) return {};
  std::vector<hsize_t> sides(static_cast<size_t>(rank));
  TW_CHECK(rank > 0 && H5Pget_chunk(create.get(), rank, sides.data()) == rank, data, "{} has chunks of another rank", what);
  uint64_t bytes = std::max<size_t>(element_bytes, 1);
  for (const hsize_t side : sides) {
    TW_CHECK(side > 0 && bytes <= kMaxChunk / side, data, "{} has chunks of more than {} bytes", what, kMaxChunk);
    bytes *= side;
  }
  return {sides.begin(), sides.end()};
}

}  // namespace tw::h5
