#include "src/checkpoint/layout.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <numeric>

#include "src/core/error.h"
#include "src/hdf5/h5.h"

namespace tw {
namespace {

// Keeps the memory of HDF5's core driver when the file is closed.
struct KeptImage {
  unsigned char* data = nullptr;
  size_t bytes = 0;
  ~KeptImage() { std::free(data); }

  static void* resize(void* old, size_t bytes, H5FD_file_image_op_t, void* self) {
    void* grown = std::realloc(old, bytes);
    if (grown) static_cast<KeptImage*>(self)->bytes = bytes;
    return grown;
  }
  static void* allocate(size_t bytes, H5FD_file_image_op_t op, void* self) { return resize(nullptr, bytes, op, self); }
  static void* copy(void* to, const void* from, size_t bytes, H5FD_file_image_op_t, void*) {
    return std::memcpy(to, from, bytes);
  }
  static herr_t keep(void* data, H5FD_file_image_op_t, void* self) {
    static_cast<KeptImage*>(self)->data = static_cast<unsigned char*>(data);
    return 0;
  }
  static void* share(void* self) { return self; }
  static herr_t unshare(void*) { return 0; }
};

// metadata: bytes HDF5 sets aside at the begin of the file for all but the datasets' contents. So the image ends
// there, however large the tensors are.
FileLayout build(size_t metadata, const std::function<void(hid_t file)>& fill) {
  const h5::Silence silence;
  KeptImage kept;
  {
    const h5::PropertyList access = h5::make_property_list(H5P_FILE_ACCESS);
    h5::check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), "file format");
    h5::check(H5Pset_alignment(access.get(), 4096, 4096), "alignment");
    h5::check(H5Pset_meta_block_size(access.get(), metadata), "metadata block");
    h5::check(H5Pset_fapl_core(access.get(), 1 << 16, false), "core driver");
    H5FD_file_image_callbacks_t callbacks = {KeptImage::allocate, KeptImage::copy,    KeptImage::resize, KeptImage::keep,
                                             KeptImage::share,    KeptImage::unshare, &kept};
    h5::check(H5Pset_file_image_callbacks(access.get(), &callbacks), "image callbacks");
    // The name is never used: the file has no place on a disk.
    h5::File file(h5::check(H5Fcreate("image", H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), "file in memory"));
    fill(file.get());
    h5::check(H5Fclose(file.release()), "closing the file in memory");
  }
  // The superblock (version 2 and 3) holds the end of the file at byte 28.
  TW_CHECK(kept.data && kept.bytes >= 48 && kept.data[8] >= 2 && kept.data[9] == 8, bug,
           "HDF5 made a file image of {} bytes without a superblock", kept.bytes);
  uint64_t end = 0;
  std::memcpy(&end, kept.data + 28, sizeof end);
  FileLayout layout;
  layout.bytes = int64_t(end);
  layout.image.assign(reinterpret_cast<const char*>(kept.data), std::min(kept.bytes, size_t(end)));
  return layout;
}

void write_attribute(hid_t object, const char* name, const std::vector<int64_t>& values) {
  const hsize_t n = values.size();
  const h5::Dataspace space(h5::check(n ? H5Screate_simple(1, &n, nullptr) : H5Screate(H5S_NULL), name));
  const h5::Attribute attribute(
      h5::check(H5Acreate2(object, name, H5T_STD_I64LE, space.get(), H5P_DEFAULT, H5P_DEFAULT), name));
  if (n) h5::check(H5Awrite(attribute.get(), H5T_NATIVE_INT64, values.data()), name);
}

std::vector<int64_t> extents(const Shape& shape) {
  std::vector<int64_t> dims;
  for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
  return dims;
}

std::string dataset_path(const StoredPiece& p) { return fmt::format("/{}/{}/{}", p.slot, p.name, p.begin); }

h5::PropertyList parents() {
  h5::PropertyList links = h5::make_property_list(H5P_LINK_CREATE);
  h5::check(H5Pset_create_intermediate_group(links.get(), 1), "parent groups");
  return links;
}

struct Box {
  std::vector<hsize_t> start, count;
};

// Cuts elements [begin, end) of a row-major array into boxes, in order: the rest of a first row, whole rows, a part of
// a last row; at most 2 rank - 1 of them.
void cut_into_boxes(const std::vector<int64_t>& dims, size_t axis, int64_t begin, int64_t end, Box prefix,
                    std::vector<Box>& boxes) {
  if (begin == end) return;
  const auto add = [&](int64_t first, int64_t n) {  // indices [first, first + n) of this axis, all of those below
    Box box = prefix;
    box.start.push_back(hsize_t(first)), box.count.push_back(hsize_t(n));
    for (size_t a = axis + 1; a < dims.size(); ++a) box.start.push_back(0), box.count.push_back(hsize_t(dims[a]));
    boxes.push_back(std::move(box));
  };
  const int64_t row = std::accumulate(dims.begin() + int64_t(axis) + 1, dims.end(), int64_t(1), std::multiplies<>());
  const auto part = [&](int64_t index, int64_t from, int64_t to) {
    Box inside = prefix;
    inside.start.push_back(hsize_t(index)), inside.count.push_back(1);
    cut_into_boxes(dims, axis + 1, from, to, std::move(inside), boxes);
  };
  const int64_t first = begin / row, last = end / row;
  if (first == last) return part(first, begin % row, end % row);
  if (begin % row) part(first, begin % row, row);
  const int64_t whole = first + (begin % row != 0);
  if (whole < last) add(whole, last - whole);
  if (end % row) part(last, 0, end % row);
}

std::string percent_escaped(const std::string& text) {  // '%' begins a pattern in names of virtual sources
  std::string out;
  for (char c : text) out += c == '%' ? std::string("%%") : std::string(1, c);
  return out;
}

void map_piece(hid_t properties, hid_t target, const std::vector<int64_t>& dims, const StoredPiece& p,
               const std::string& file) {
  std::vector<Box> boxes;
  cut_into_boxes(dims, 0, p.begin, p.end, {}, boxes);
  const hsize_t elements = hsize_t(p.end - p.begin);
  const h5::Dataspace source(h5::check(H5Screate_simple(1, &elements, nullptr), "source"));
  hsize_t at = 0;
  for (const Box& box : boxes) {
    const hsize_t n = std::accumulate(box.count.begin(), box.count.end(), hsize_t(1), std::multiplies<>());
    h5::check(H5Sselect_hyperslab(source.get(), H5S_SELECT_SET, &at, nullptr, &n, nullptr), "source range");
    h5::check(H5Sselect_hyperslab(target, H5S_SELECT_SET, box.start.data(), nullptr, box.count.data(), nullptr),
              "target box");
    h5::check(H5Pset_virtual(properties, target, percent_escaped(file).c_str(),
                             percent_escaped(dataset_path(p)).c_str(), source.get()),
              "virtual dataset");
    at += n;
  }
}

}  // namespace

FileLayout lay_out_shard(std::vector<StoredPiece>& pieces) {
  const std::lock_guard lock(h5::library_mutex());
  size_t metadata = size_t(1) << 16;
  for (const StoredPiece& p : pieces) metadata += 1024 + 8 * (p.name.size() + p.slot.size());
  FileLayout layout = build(metadata, [&](hid_t file) {
    const h5::PropertyList links = parents();
    const h5::PropertyList create = h5::make_property_list(H5P_DATASET_CREATE);
    h5::check(H5Pset_layout(create.get(), H5D_CONTIGUOUS), "contiguous layout");
    h5::check(H5Pset_alloc_time(create.get(), H5D_ALLOC_TIME_EARLY), "early allocation");
    h5::check(H5Pset_fill_time(create.get(), H5D_FILL_TIME_NEVER), "no fill");
    for (StoredPiece& p : pieces) {
      const hsize_t n = hsize_t(p.end - p.begin);
      const h5::Dataspace space(h5::check(H5Screate_simple(1, &n, nullptr), dataset_path(p)));
      const h5::Dataset dataset(h5::check(H5Dcreate2(file, dataset_path(p).c_str(), H5T_IEEE_F32LE, space.get(),
                                                     links.get(), create.get(), H5P_DEFAULT),
                                          dataset_path(p)));
      write_attribute(dataset.get(), "shape", extents(p.shape));
      write_attribute(dataset.get(), "begin", {p.begin});
      write_attribute(dataset.get(), "end", {p.end});
      const haddr_t offset = H5Dget_offset(dataset.get());
      TW_CHECK(offset != HADDR_UNDEF, bug, "HDF5 gave {} no place", dataset_path(p));
      p.offset = int64_t(offset);
    }
  });
  std::sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  return layout;
}

std::string lay_out_model_view(const std::vector<StoredFile>& shards) {
  struct Source {
    const StoredPiece* piece;
    const std::string* file;
  };
  std::map<std::string, std::vector<Source>> tensors;  // by path in model.h5
  size_t metadata = size_t(1) << 16;
  for (const StoredFile& shard : shards)
    for (const StoredPiece& p : shard.pieces) {
      const std::string path = p.slot == "weight" ? "/" + p.name : fmt::format("/optimizer/{}/{}", p.slot, p.name);
      tensors[path].push_back({&p, &shard.file});
      metadata += 1024 + 16 * (p.name.size() + p.slot.size());
    }
  const std::lock_guard lock(h5::library_mutex());
  FileLayout layout = build(metadata, [&](hid_t file) {
    const h5::PropertyList links = parents();
    const float missing = std::numeric_limits<float>::quiet_NaN();
    for (const auto& [path, sources] : tensors) {
      std::vector<int64_t> dims = extents(sources[0].piece->shape);
      if (dims.empty()) dims = {1};  // a scalar cannot be virtual
      const std::vector<hsize_t> size(dims.begin(), dims.end());
      const h5::Dataspace space(h5::check(H5Screate_simple(int(size.size()), size.data(), nullptr), path));
      const h5::PropertyList create = h5::make_property_list(H5P_DATASET_CREATE);
      h5::check(H5Pset_fill_value(create.get(), H5T_NATIVE_FLOAT, &missing), "fill value");
      const h5::Dataspace target(h5::check(H5Scopy(space.get()), path));
      for (const Source& s : sources) map_piece(create.get(), target.get(), dims, *s.piece, *s.file);
      const h5::Dataset dataset(h5::check(
          H5Dcreate2(file, path.c_str(), H5T_IEEE_F32LE, space.get(), links.get(), create.get(), H5P_DEFAULT), path));
    }
  });
  layout.image.resize(size_t(layout.bytes), '\0');
  return std::move(layout.image);
}

}  // namespace tw
