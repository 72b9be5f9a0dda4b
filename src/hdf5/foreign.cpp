#include "src/hdf5/foreign.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "src/core/file.h"
#include "src/hdf5/foreign_file.h"

namespace tw::h5 {
namespace {

constexpr int64_t kBlock = int64_t(1) << 16;  // elements read at once
constexpr size_t kMaxListed = 20, kMaxObjects = 100'000;

bool is_integer(hid_t dataset) {
  const Datatype type(H5Dget_type(dataset));
  const Dataspace space(H5Dget_space(dataset));
  return type && space && H5Tget_class(type.get()) == H5T_INTEGER && H5Tget_size(type.get()) <= 8 &&
         H5Sget_simple_extent_ndims(space.get()) == 1;
}

// Names of all datasets that can be meant.
std::vector<std::string> list_integers(const OpenForeign& file) {
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
void check_way(const OpenForeign& file, const std::string& name, const std::string& path) {
  for (size_t end = name.find('/', 1);; end = name.find('/', end + 1)) {
    const std::string part = name.substr(0, end);
    H5L_info_t info;
    TW_CHECK(!part.empty() && H5Lexists(file.get(), part.c_str(), H5P_DEFAULT) > 0 && H5Lget_info(file.get(), part.c_str(), &info, H5P_DEFAULT) >= 0,
             data, "{} has no dataset \"{}\"", path, name);
    TW_CHECK(info.type == H5L_TYPE_HARD, data, "{}: \"{}\" is a link to another place, which is not followed", path, part);
    if (end == std::string::npos) return;
  }
}

void send_integers(const MappedFile& map, const ForeignFile& wanted, const SandboxWrite& write) {
  const std::string path = wanted.path.string();
  const OpenForeign file(map.text(), path);
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
  const Chunk sides = check_storage(dataset.get(), 1, elements, sizeof(int64_t), what);
  const int64_t chunk = sides.empty() ? 1 : int64_t(sides[0]);
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
  limits.result = bytes <= (int64_t(1) << 48) ? std::max<int64_t>(bytes, 1) * 8 * kMaxForeignRatio : int64_t(1) << 62;
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
