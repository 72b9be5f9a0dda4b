#include "src/codec/image/image_codec.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "src/codec/codebook.h"
#include "src/codec/image/colour.h"
#include "src/codec/image/image_quality.h"
#include "src/codec/image/picture.h"
#include "src/codec/image/picture_judge.h"
#include "src/codec/vector_book.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"

namespace tw {
namespace {

constexpr const char* kFormatName = "tokenwerk image codec 1";
constexpr int kPatch = 4, kHalf = kPatch / 2, kStages = 2;
constexpr int kBook = 512;               // patches of a palette
constexpr size_t kMostPatches = 100000;  // of training
constexpr float kColour = 1.5f;             // weight of a colour: its error is seen in four pixels and most of two channels
constexpr int kSmallest = 4, kLargest = 1024;

int patches_along(int pixels) { return (pixels + kPatch - 1) / kPatch; }
int dimension_of(int channels) { return kPatch * kPatch + (channels == 3 ? 2 * kHalf * kHalf : 0); }

// Patches of a picture, row by row: brightness of 4 x 4 pixels, then the colours of 2 x 2. What lies beyond the border repeats it.
void add_patches(const Picture& p, int channels, std::vector<float>& out) {
  for (int py = 0; py < patches_along(p.height); ++py)
    for (int px = 0; px < patches_along(p.width); ++px) {
      float colour[2][kHalf * kHalf] = {};
      for (int j = 0; j < kPatch; ++j)
        for (int i = 0; i < kPatch; ++i) {
          const int x = std::min(px * kPatch + i, p.width - 1), y = std::min(py * kPatch + j, p.height - 1);
          const Ycc v = ycc_of(p.at(x, y, 0), p.at(x, y, 1), p.at(x, y, 2));
          out.push_back(v.y);
          const int at = j / 2 * kHalf + i / 2;
          colour[0][at] += kColour * v.cb / 4, colour[1][at] += kColour * v.cr / 4;
        }
      if (channels == 3)
        for (const auto& plane : colour) out.insert(out.end(), std::begin(plane), std::end(plane));
    }
}

// The other way; pixels beyond the border are dropped.
void put_patch(std::span<const float> patch, int px, int py, Picture& p) {
  for (int j = 0; j < kPatch; ++j)
    for (int i = 0; i < kPatch; ++i) {
      const int x = px * kPatch + i, y = py * kPatch + j;
      if (x >= p.width || y >= p.height) continue;
      uint8_t* to = p.pixels.data() + (size_t(y) * size_t(p.width) + size_t(x)) * size_t(p.channels);
      const float b = patch[size_t(j * kPatch + i)];
      if (p.channels == 1) {
        to[0] = byte_of(b);
        continue;
      }
      const size_t at = size_t(kPatch * kPatch + j / 2 * kHalf + i / 2);
      const float cb = patch[at] / kColour, cr = patch[at + kHalf * kHalf] / kColour;
      put_rgb({b, cb, cr}, to);
    }
}

// Ids: widths 1 … size, heights 1 … size, then the palettes.
class ImageCodec final : public Codec {
 public:
  ImageCodec(int size, int channels, Sides common, std::vector<VectorBook> books) : size_(size), channels_(channels), common_(common), books_(std::move(books)) {
    TW_CHECK(books_.size() == size_t(kStages), data, "{} palettes", books_.size());
    first_.push_back(2 * size);
    for (const VectorBook& b : books_) {
      TW_CHECK(b.dimension() == dimension_of(channels), data, "a palette of patches of {} numbers", b.dimension());
      first_.push_back(first_.back() + b.size());
    }
    hash_ = Sha256().update(to_json().dump()).hex();
  }
  std::string_view name() const override { return kImageCodec.name; }
  int32_t vocab_size() const override { return first_.back(); }
  std::string hash() const override { return hash_; }
  void encode(const CodecInput& file, CodecSink& sink) const override {
    int64_t documents = 0;
    read_pictures(file, size_, [&](FoundPicture p) {
      if (documents++ > 0) sink.end_document();
      if (p.label >= 0) sink.caption(fmt::format("{}", p.label));
      sink.ids(ids_of(p));
      if (!p.note.empty()) sink.note(p.note);
    });
  }
  std::string decode(std::span<const int32_t> ids) const override { return png_of(picture_of(ids)); }
  // All pictures are of one size where those of the training files are.
  std::vector<int32_t> opening() const override {
    return common_.width > 0 ? std::vector<int32_t>{common_.width - 1, size_ + common_.height - 1} : std::vector<int32_t>();
  }
  int64_t length(std::span<const int32_t> beginning) const override {
    if (beginning.size() < 2) return 0;
    if (beginning[0] >= size_ || beginning[1] < size_ || beginning[1] >= first_[0]) return -1;
    return 2 + int64_t(kStages) * patches_along(beginning[0] + 1) * patches_along(beginning[1] - size_ + 1);
  }
  std::vector<CodecQuality> quality(std::span<const std::filesystem::path> files) const override;
  void save(const std::filesystem::path& path) const override { write_file_atomically(path, to_json().dump() + "\n"); }

 private:
  std::vector<int32_t> ids_of(const Picture& p) const;
  Picture picture_of(std::span<const int32_t> ids) const;
  nlohmann::json to_json() const {
    nlohmann::json books = nlohmann::json::array();
    for (const VectorBook& b : books_) books.push_back(json_of(b));
    return {{"format", kFormatName}, {"size", size_}, {"channels", channels_}, {"common", {common_.width, common_.height}}, {"palettes", books}};
  }
  int size_, channels_;
  Sides common_;  // of all training pictures; 0 = they differ
  std::vector<VectorBook> books_;
  std::vector<int32_t> first_;
  std::string hash_;
};

std::vector<int32_t> ImageCodec::ids_of(const Picture& p) const {
  std::vector<int32_t> ids = {p.width - 1, size_ + p.height - 1};
  std::vector<float> patches;
  add_patches(p, channels_, patches);
  const auto d = size_t(dimension_of(channels_));
  for (size_t at = 0; at < patches.size(); at += d) {
    const std::span patch = std::span(patches).subspan(at, d);
    for (size_t s = 0; s < books_.size(); ++s) {
      const int best = books_[s].nearest(patch);
      ids.push_back(first_[s] + best);
      const auto v = books_[s].vector(best);
      for (size_t k = 0; k < d; ++k) patch[k] -= v[k];
    }
  }
  return ids;
}

// Any row of ids is a picture: a patch begins with one of the first palette, what is missing is white, and what is too much is left out.
Picture ImageCodec::picture_of(std::span<const int32_t> ids) const {
  for (const int32_t id : ids) TW_CHECK(id >= 0 && id < vocab_size(), data, "id {} is not in [0, {}), those of the image codec", id, vocab_size());
  Sides sides = common_.width > 0 ? common_ : Sides{size_, size_};
  size_t at = 0;
  if (at < ids.size() && ids[at] < size_) sides.width = ids[at++] + 1;
  if (at < ids.size() && ids[at] >= size_ && ids[at] < first_[0]) sides.height = ids[at++] - size_ + 1;
  const size_t pixels = size_t(sides.width) * size_t(sides.height) * size_t(channels_);
  Picture p{.width = sides.width, .height = sides.height, .channels = channels_, .pixels = std::vector<uint8_t>(pixels, 255)};
  const int across = patches_along(p.width), all = across * patches_along(p.height);
  std::vector<float> patch;
  int place = -1;
  const auto close = [&] {
    if (place >= 0 && place < all) put_patch(patch, place % across, place / across, p);
  };
  for (; at < ids.size() && place < all; ++at) {
    const int32_t id = ids[at];
    if (id < first_[0]) continue;
    const size_t stage = id < first_[1] ? 0 : 1;
    const auto v = books_[stage].vector(id - first_[stage]);
    if (stage == 0) {
      close();
      ++place;
      patch.assign(v.begin(), v.end());
    } else if (place >= 0) {
      for (size_t k = 0; k < v.size(); ++k) patch[k] += v[k];
    }
  }
  close();
  return p;
}

// Beside a JPEG of at most as many bytes, its tables and heads not counted.
std::vector<CodecQuality> ImageCodec::quality(std::span<const std::filesystem::path> files) const {
  SquaredError ours, theirs;
  double similar = 0, their_similar = 0;
  int64_t pictures = 0;
  std::vector<bool> used(size_t(vocab_size()), false);
  double bits_a_patch = 0;
  for (const VectorBook& b : books_) bits_a_patch += std::log2(double(b.size()));
  for (const auto& path : files) {
    const MappedFile map(path);
    read_pictures({map.text(), path}, size_, [&](FoundPicture found) {
      const std::vector<int32_t> ids = ids_of(found);
      for (const int32_t id : ids) used[size_t(id)] = true;
      const Picture made = picture_of(ids);
      const double bytes = bits_a_patch * double(ids.size() - 2) / kStages / 8;
      Picture jpeg;
      for (int low = 1, high = 100; low <= high;) {  // the best quality that fits
        const int quality = (low + high) / 2;
        const std::string packed = jpeg_of(found, quality);
        if (double(jpeg_scan_bytes(packed)) <= bytes) jpeg = decode_jpeg(packed, size_), low = quality + 1;
        else high = quality - 1;
      }
      if (jpeg.pixels.empty()) jpeg = decode_jpeg(jpeg_of(found, 1), size_);
      for (const auto& [picture, error, sum] : {std::tuple(&std::as_const(made), &ours, &similar), std::tuple(&std::as_const(jpeg), &theirs, &their_similar)}) {
        const SquaredError e = squared_error(found, *picture);
        error->sum += e.sum, error->values += e.values;
        *sum += ssim(found, *picture);
      }
      ++pictures;
    });
  }
  const double n = double(std::max<int64_t>(pictures, 1));
  const auto palette = std::count(used.begin() + first_[0], used.end(), true);
  constexpr const char* kJpeg = "JPEG of as many bytes";
  return {{"signal to noise at its peak (PSNR), dB, larger is better", ours.psnr(), kJpeg, theirs.psnr(), ours.sum == 0},
          {"structural similarity (SSIM), larger is better", similar / n, kJpeg, their_similar / n, ours.sum == 0},
          {"patches of the palettes that are used, share", double(palette) / double(vocab_size() - first_[0]), "all", 1, false}};
}

CodecContent inspect_image(const CodecInput& file) {
  CodecContent content;
  int64_t pictures = 0;
  FoundPicture first;
  bool labels = false;
  read_pictures(file, 1, [&](FoundPicture p) {
    content.units += int64_t(p.full_width) * p.full_height;
    labels = labels || p.label >= 0;
    if (!p.note.empty()) content.note = p.note;
    if (pictures++ == 0) first = std::move(p);
  });
  content.said = pictures == 1 ? fmt::format("{} x {} pixels", first.full_width, first.full_height)
                               : fmt::format("{} pictures of {} x {} pixels{}", pictures, first.full_width, first.full_height, labels ? " with labels" : "");
  return content;
}

std::unique_ptr<Codec> train_image(std::span<const std::filesystem::path> files, const CodecTraining& options) {
  const int size = std::clamp(options.image_size, kSmallest, kLargest);
  // In colour first, which grey pictures have as well; whether any has them is known at the end.
  const auto d = size_t(dimension_of(3));
  std::vector<float> patches, some;
  int64_t stride = 1, seen = 0;
  int channels = 1;
  std::set<std::pair<int, int>> sides;
  for (const auto& path : files) {
    const MappedFile map(path);
    read_pictures({map.text(), path}, size, [&](FoundPicture p) {
      channels = std::max(channels, p.channels);
      if (sides.size() < 2) sides.emplace(p.width, p.height);
      some.clear();
      add_patches(p, 3, some);
      for (size_t at = 0; at < some.size(); at += d)
        if (seen++ % stride == 0) patches.insert(patches.end(), some.begin() + std::ptrdiff_t(at), some.begin() + std::ptrdiff_t(at + d));
      while (patches.size() > kMostPatches * d) {
        const size_t left = (patches.size() / d + 1) / 2;
        for (size_t i = 0; i < left; ++i) std::copy_n(patches.begin() + std::ptrdiff_t(2 * i * d), d, patches.begin() + std::ptrdiff_t(i * d));
        patches.resize(left * d);
        stride *= 2;
      }
    });
  }
  TW_CHECK(!patches.empty(), data, "there is no picture to make the image codec of");
  const auto dimension = size_t(dimension_of(channels));
  if (dimension < d) {
    for (size_t i = 0; i < patches.size() / d; ++i) std::copy_n(patches.begin() + std::ptrdiff_t(i * d), dimension, patches.begin() + std::ptrdiff_t(i * dimension));
    patches.resize(patches.size() / d * dimension);
  }
  std::vector<VectorBook> books;
  for (int s = 0; s < kStages; ++s) {
    books.push_back(VectorBook::trained(patches, int(dimension), kBook, options.threads));
    for (size_t at = 0; at < patches.size(); at += dimension) {
      const auto v = books.back().vector(books.back().nearest(std::span(patches).subspan(at, dimension)));
      for (size_t k = 0; k < dimension; ++k) patches[at + k] -= v[k];
    }
  }
  const Sides common = sides.size() == 1 ? Sides{sides.begin()->first, sides.begin()->second} : Sides{};
  return std::make_unique<ImageCodec>(size, channels, common, std::move(books));
}

std::unique_ptr<Codec> load_image(const std::filesystem::path& path) {
  const auto json = read_codebook(path, kFormatName, "pictures", size_t(64) << 20, size_t(1) << 20);
  const std::string file = path.string();
  const auto number = [&](const nlohmann::json& n, int64_t low, int64_t high, const char* what) {
    TW_CHECK(n.is_number_integer() && n.get<int64_t>() >= low && n.get<int64_t>() <= high, data, "{}: {} is {}", file, what, n.dump());
    return n.get<int>();
  };
  const int size = number(json.value("size", nlohmann::json()), kSmallest, kLargest, "size");
  const int channels = number(json.value("channels", nlohmann::json()), 1, 3, "channels");
  TW_CHECK(channels != 2, data, "{}: channels is 2", file);
  const auto common = json.value("common", nlohmann::json());
  TW_CHECK(common.is_array() && common.size() == 2, data, "{}: its common size is no width and height", file);
  const Sides sides{number(common[0], 0, size, "common width"), number(common[1], 0, size, "common height")};
  TW_CHECK((sides.width > 0) == (sides.height > 0), data, "{}: a common size of {} x {}", file, sides.width, sides.height);
  const auto palettes = json.value("palettes", nlohmann::json());
  TW_CHECK(palettes.is_array() && palettes.size() == size_t(kStages), data, "{}: it has not {} palettes", file, kStages);
  std::vector<VectorBook> books;
  for (const auto& p : palettes) books.push_back(book_of(p, file, kBook));
  return std::make_unique<ImageCodec>(size, channels, sides, std::move(books));
}

constexpr std::string_view kEndings[] = {".png", ".jpg", ".jpeg", "-idx3-ubyte", "-idx3-ubyte.gz"};
constexpr std::string_view kCompanions[] = {"-labels-idx1-ubyte", "-labels-idx1-ubyte.gz"};

}  // namespace

const CodecKind kImageCodec = {.name = "image", .endings = kEndings, .artefact = "png", .codebook = "image.json", .several = true, .folder_captions = true, .companions = kCompanions,
                               .inspect = inspect_image, .train = train_image, .load = load_image, .judge = judge_pictures};

}  // namespace tw
