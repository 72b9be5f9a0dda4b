#include "src/codec/image/picture_codec.h"

#include <algorithm>
#include <cmath>

#include "src/codec/image/image_codec.h"
#include "src/codec/image/image_quality.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/core/json_guard.h"

namespace tw {
namespace {
constexpr size_t kGroup = 64;          // pictures that are encoded together at most,
constexpr int kGroupPlaces = 4096;     // and their places, but for one picture alone
}  // namespace

std::string_view PictureCodec::name() const { return kImageCodec.name; }

void PictureCodec::finish(nlohmann::json book) {
  put_sizes(sizes_, book);
  book_ = std::move(book);
  hash_ = Sha256().update(book_.dump()).hex();
}

void PictureCodec::save(const std::filesystem::path& path) const { write_file_atomically(path, book_.dump() + "\n"); }

void PictureCodec::read_groups(const CodecInput& file, const std::function<void(std::span<const FoundPicture>)>& take) const {
  std::vector<FoundPicture> group;
  const auto give = [&] {
    if (!group.empty()) take(group);
    group.clear();
  };
  read_pictures(file, sizes_.size, [&](FoundPicture p) {
    const int places = patches_along(p.width) * patches_along(p.height);
    if (!group.empty() && (group.size() == kGroup || int(group.size() + 1) * places > kGroupPlaces || p.width != group[0].width || p.height != group[0].height)) give();
    group.push_back(std::move(p));
  });
  give();
}

std::vector<std::vector<int32_t>> PictureCodec::ids_of(std::span<const FoundPicture> pictures) const {
  std::vector<std::vector<int32_t>> codes(pictures.size()), ids(pictures.size());
  put_codes(pictures, codes);
  for (size_t i = 0; i < pictures.size(); ++i) {
    ids[i] = {pictures[i].width - 1, sizes_.size + pictures[i].height - 1};
    for (const int32_t code : codes[i]) ids[i].push_back(first_code() + code);
  }
  return ids;
}

void PictureCodec::encode(const CodecInput& file, CodecSink& sink) const {
  int64_t documents = 0;
  read_groups(file, [&](std::span<const FoundPicture> group) {
    const auto ids = ids_of(group);
    for (size_t i = 0; i < group.size(); ++i) {
      if (documents++ > 0) sink.end_document();
      if (group[i].label >= 0) sink.caption(fmt::format("{}", group[i].label));
      sink.ids(ids[i]);
      if (!group[i].note.empty()) sink.note(group[i].note);
    }
  });
}

std::vector<int32_t> PictureCodec::opening() const {
  return sizes_.common.width > 0 ? std::vector<int32_t>{sizes_.common.width - 1, sizes_.size + sizes_.common.height - 1} : std::vector<int32_t>();
}

int64_t PictureCodec::length(std::span<const int32_t> beginning) const {
  if (beginning.size() < 2) return 0;
  if (beginning[0] >= sizes_.size || beginning[1] < sizes_.size || beginning[1] >= first_code()) return -1;
  return 2 + int64_t(tokens_) * patches_along(beginning[0] + 1) * patches_along(beginning[1] - sizes_.size + 1);
}

Picture PictureCodec::picture_of(std::span<const int32_t> ids) const {
  for (const int32_t id : ids) TW_CHECK(id >= 0 && id < vocab_size(), data, "id {} is not in [0, {}), those of the image codec", id, vocab_size());
  Sides sides = sizes_.common.width > 0 ? sizes_.common : Sides{sizes_.size, sizes_.size};
  size_t at = 0;
  if (at < ids.size() && ids[at] < sizes_.size) sides.width = ids[at++] + 1;
  if (at < ids.size() && ids[at] >= sizes_.size && ids[at] < first_code()) sides.height = ids[at++] - sizes_.size + 1;
  std::vector<int32_t> codes;
  for (; at < ids.size(); ++at)
    if (ids[at] >= first_code()) codes.push_back(ids[at] - first_code());
  Picture p{.width = sides.width, .height = sides.height, .channels = sizes_.channels, .pixels = std::vector<uint8_t>(size_t(sides.width) * size_t(sides.height) * size_t(sizes_.channels), 255)};
  draw(codes, p);
  return p;
}

std::vector<CodecQuality> PictureCodec::quality(std::span<const std::filesystem::path> files) const {
  SquaredError ours, theirs;
  double similar = 0, their_similar = 0;
  int64_t pictures = 0;
  std::vector<bool> used(size_t(vocab_size()), false);
  const auto measure = [&](const FoundPicture& found, std::span<const int32_t> ids) {
    for (const int32_t id : ids) used[size_t(id)] = true;
    const Picture made = picture_of(ids);
    const double bytes = bits_ * patches_along(found.width) * patches_along(found.height) / 8;
    Picture jpeg;
    for (int low = 1, high = 100; low <= high;) {  // the best quality that fits
      const int quality = (low + high) / 2;
      const std::string packed = jpeg_of(found, quality);
      if (double(jpeg_scan_bytes(packed)) <= bytes) jpeg = decode_jpeg(packed, sizes_.size), low = quality + 1;
      else high = quality - 1;
    }
    if (jpeg.pixels.empty()) jpeg = decode_jpeg(jpeg_of(found, 1), sizes_.size);
    for (const auto& [picture, error, sum] : {std::tuple(&std::as_const(made), &ours, &similar), std::tuple(&std::as_const(jpeg), &theirs, &their_similar)}) {
      const SquaredError e = squared_error(found, *picture);
      error->sum += e.sum, error->values += e.values;
      *sum += ssim(found, *picture);
    }
    ++pictures;
  };
  for (const auto& path : files) {
    const MappedFile map(path);
    read_groups({map.text(), path}, [&](std::span<const FoundPicture> group) {
      const auto ids = ids_of(group);
      for (size_t i = 0; i < group.size(); ++i) measure(group[i], ids[i]);
    });
  }
  const double n = double(std::max<int64_t>(pictures, 1));
  const auto codes = std::count(used.begin() + first_code(), used.end(), true);
  constexpr const char* kJpeg = "JPEG of as many bytes";
  return {{"signal to noise at its peak (PSNR), dB, larger is better", ours.psnr(), kJpeg, theirs.psnr(), ours.sum == 0},
          {"structural similarity (SSIM), larger is better", similar / n, kJpeg, their_similar / n, ours.sum == 0},
          {"codes of the codebook that are used, share", double(codes) / double(codes_), "all", 1, false}};
}

void put_sizes(const PictureSizes& sizes, nlohmann::json& book) {
  book["size"] = sizes.size, book["channels"] = sizes.channels, book["common"] = {sizes.common.width, sizes.common.height};
}

int codebook_number(const nlohmann::json& value, int64_t low, int64_t high, const char* what, const std::string& file) {
  const auto n = whole_number(value, low, high);
  TW_CHECK(n, data, "{}: {} is {}", file, what, value.dump().substr(0, 100));
  return int(*n);
}

PictureSizes sizes_of(const nlohmann::json& book, const std::string& file) {
  PictureSizes sizes;
  sizes.size = codebook_number(book.value("size", nlohmann::json()), kSmallestPicture, kLargestPicture, "size", file);
  sizes.channels = codebook_number(book.value("channels", nlohmann::json()), 1, 3, "channels", file);
  TW_CHECK(sizes.channels != 2, data, "{}: channels is 2", file);
  const auto common = book.value("common", nlohmann::json());
  TW_CHECK(common.is_array() && common.size() == 2, data, "{}: its common size is no width and height", file);
  sizes.common = {codebook_number(common[0], 0, sizes.size, "common width", file), codebook_number(common[1], 0, sizes.size, "common height", file)};
  TW_CHECK((sizes.common.width > 0) == (sizes.common.height > 0), data, "{}: a common size of {} x {}", file, sizes.common.width, sizes.common.height);
  return sizes;
}

}  // namespace tw
