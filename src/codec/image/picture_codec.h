// What the codecs of pictures have in common. A document is the ids of its width and its height, and then the codes of its places, patches of
// 4 x 4 pixels, row by row. Ids: widths 1 … size, heights 1 … size, then the codes.
#pragma once
#include <algorithm>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "src/codec/codec.h"
#include "src/codec/image/picture.h"

namespace tw {

inline constexpr int kPatch = 4;  // pixels of a place's side
inline constexpr int kSmallestPicture = 4, kLargestPicture = 1024;  // what codec.image_size may be
inline int patches_along(int pixels) { return (pixels + kPatch - 1) / kPatch; }

// What a codebook says of all pictures.
struct PictureSizes {
  int size = 0;      // pixels of the longer side at most
  int channels = 0;  // 1 or 3
  Sides common;      // of all training pictures; 0 = they differ
};

class PictureCodec : public Codec {
 public:
  std::string_view name() const final;
  int32_t vocab_size() const final { return first_code() + codes_; }
  std::string hash() const final { return hash_; }
  void encode(const CodecInput& file, CodecSink& sink) const final;
  std::string decode(std::span<const int32_t> ids) const final { return png_of(picture_of(ids)); }
  // All pictures are of one size where those of the training files are.
  std::vector<int32_t> opening() const final;
  int64_t length(std::span<const int32_t> beginning) const final;
  // Beside a JPEG of at most as many bytes, its tables and heads not counted.
  std::vector<CodecQuality> quality(std::span<const std::filesystem::path> files) const final;
  void save(const std::filesystem::path& path) const final;

 protected:
  // codes: how many there are; bits: of a place; tokens: of a place.
  PictureCodec(const PictureSizes& sizes, int32_t codes, double bits, int tokens)
      : sizes_(sizes), codes_(codes), tokens_(tokens), bits_(bits) {}
  void finish(nlohmann::json book);  // of the constructor: what is saved, and hashed
  const PictureSizes& sizes() const noexcept { return sizes_; }
  // Codes of pictures, from 0; all of them have the same sides. `codes` gets those of each picture.
  virtual void put_codes(std::span<const FoundPicture> pictures, std::vector<std::vector<int32_t>>& codes) const = 0;
  // Any row of codes: what is missing of the picture stays as it is (white), what is too much is left out.
  virtual void draw(std::span<const int32_t> codes, Picture& picture) const = 0;

 private:
  int32_t first_code() const noexcept { return 2 * sizes_.size; }
  std::vector<std::vector<int32_t>> ids_of(std::span<const FoundPicture> pictures) const;
  Picture picture_of(std::span<const int32_t> ids) const;
  // Pictures of a file in groups of the same sides, in order.
  void read_groups(const CodecInput& file, const std::function<void(std::span<const FoundPicture>)>& take) const;
  PictureSizes sizes_;
  int32_t codes_;
  int tokens_;
  double bits_;
  nlohmann::json book_;
  std::string hash_;
};

// The sizes as a codebook has them: "size", "channels", "common". Error(data) naming the file.
void put_sizes(const PictureSizes& sizes, nlohmann::json& book);
PictureSizes sizes_of(const nlohmann::json& book, const std::string& file);
// A whole number of a codebook. Error(data) naming the file and `what`.
int codebook_number(const nlohmann::json& value, int64_t low, int64_t high, const char* what, const std::string& file);

// Learns the sizes from pictures one by one.
class SizesSeen {
 public:
  void add(const Picture& p) {
    channels_ = std::max(channels_, p.channels);
    if (sides_.size() < 2) sides_.emplace(p.width, p.height);
  }
  PictureSizes sizes(int size) const { return {size, channels_, sides_.size() == 1 ? Sides{sides_.begin()->first, sides_.begin()->second} : Sides{}}; }

 private:
  int channels_ = 1;
  std::set<std::pair<int, int>> sides_;
};

}  // namespace tw
