#include "src/codec/image/patch_codec.h"

#include <algorithm>
#include <cmath>

#include "src/codec/codebook.h"
#include "src/codec/image/colour.h"
#include "src/codec/image/picture_codec.h"
#include "src/codec/vector_book.h"
#include "src/core/error.h"
#include "src/core/file.h"

namespace tw {
namespace {

constexpr int kHalf = kPatch / 2, kStages = 2;
constexpr int kBook = 512;               // patches of a palette
constexpr size_t kMostPatches = 100000;  // of training
constexpr float kColour = 1.5f;             // weight of a colour: its error is seen in four pixels and most of two channels

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

// Codes: those of the first palette, then those of the second.
class PatchCodec final : public PictureCodec {
 public:
  PatchCodec(const PictureSizes& sizes, std::vector<VectorBook> books) : PictureCodec(sizes, codes_of(books), bits_of(books), kStages), books_(std::move(books)) {
    nlohmann::json palettes = nlohmann::json::array();
    for (const VectorBook& b : books_) {
      TW_CHECK(b.dimension() == dimension_of(sizes.channels), data, "a palette of patches of {} numbers", b.dimension());
      palettes.push_back(json_of(b));
    }
    finish({{"format", kPatchCodecFormat}, {"palettes", palettes}});
  }

 private:
  static int32_t codes_of(const std::vector<VectorBook>& books) {
    TW_CHECK(books.size() == size_t(kStages), data, "{} palettes", books.size());
    return books[0].size() + books[1].size();
  }
  static double bits_of(const std::vector<VectorBook>& books) { return std::log2(double(books[0].size())) + std::log2(double(books[1].size())); }
  void put_codes(std::span<const FoundPicture> pictures, std::vector<std::vector<int32_t>>& codes) const override {
    for (size_t i = 0; i < pictures.size(); ++i) put_codes(pictures[i], codes[i]);
  }
  void put_codes(const Picture& p, std::vector<int32_t>& codes) const;
  void draw(std::span<const int32_t> codes, Picture& picture) const override;
  std::vector<VectorBook> books_;
};

void PatchCodec::put_codes(const Picture& p, std::vector<int32_t>& codes) const {
  std::vector<float> patches;
  add_patches(p, sizes().channels, patches);
  const auto d = size_t(dimension_of(sizes().channels));
  for (size_t at = 0; at < patches.size(); at += d) {
    const std::span patch = std::span(patches).subspan(at, d);
    for (size_t s = 0; s < books_.size(); ++s) {
      const int best = books_[s].nearest(patch);
      codes.push_back((s > 0 ? books_[0].size() : 0) + best);
      const auto v = books_[s].vector(best);
      for (size_t k = 0; k < d; ++k) patch[k] -= v[k];
    }
  }
}

// A patch begins with a code of the first palette.
void PatchCodec::draw(std::span<const int32_t> codes, Picture& p) const {
  const int across = patches_along(p.width), all = across * patches_along(p.height);
  std::vector<float> patch;
  int place = -1;
  const auto close = [&] {
    if (place >= 0 && place < all) put_patch(patch, place % across, place / across, p);
  };
  for (size_t at = 0; at < codes.size() && place < all; ++at) {
    const bool first = codes[at] < books_[0].size();
    const auto v = first ? books_[0].vector(codes[at]) : books_[1].vector(codes[at] - books_[0].size());
    if (first) {
      close();
      ++place;
      patch.assign(v.begin(), v.end());
    } else if (place >= 0) {
      for (size_t k = 0; k < v.size(); ++k) patch[k] += v[k];
    }
  }
  close();
}

}  // namespace

std::unique_ptr<Codec> train_patch_codec(std::span<const std::filesystem::path> files, const CodecTraining& options) {
  const int size = std::clamp(options.image_size, kSmallestPicture, kLargestPicture);
  // In colour first, which grey pictures have as well; whether any has them is known at the end.
  const auto d = size_t(dimension_of(3));
  SampledPoints sampled(int(d), kMostPatches);
  std::vector<float> some;
  SizesSeen sizes;
  for (const auto& path : files) {
    const MappedFile map(path);
    read_pictures({map.text(), path}, size, [&](FoundPicture p) {
      sizes.add(p);
      some.clear();
      add_patches(p, 3, some);
      for (size_t at = 0; at < some.size(); at += d) sampled.add(std::span(some).subspan(at, d));
    });
  }
  std::vector<float>& patches = sampled.points();
  TW_CHECK(!patches.empty(), data, "there is no picture to make the image codec of");
  const PictureSizes all = sizes.sizes(size);
  const auto dimension = size_t(dimension_of(all.channels));
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
  return std::make_unique<PatchCodec>(all, std::move(books));
}

std::unique_ptr<Codec> patch_codec_of(const nlohmann::json& book, const std::string& file) {
  const PictureSizes sizes = sizes_of(book, file);
  const auto palettes = book.value("palettes", nlohmann::json());
  TW_CHECK(palettes.is_array() && palettes.size() == size_t(kStages), data, "{}: it has not {} palettes", file, kStages);
  std::vector<VectorBook> books;
  for (const auto& p : palettes) books.push_back(book_of(p, file, kBook));
  return std::make_unique<PatchCodec>(sizes, std::move(books));
}

}  // namespace tw
