#include "src/codec/image/idx.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "src/codec/image/picture.h"
#include "src/core/error.h"

namespace tw {
namespace {

constexpr std::string_view kGzip("\x1f\x8b", 2), kPictures("\0\0\x08\x03", 4), kLabels("\0\0\x08\x01", 4);
constexpr int64_t kMostPictures = int64_t(1) << 31;
constexpr size_t kSmall = size_t(64) << 10;  // bytes

// What a file holds, unpacked as it is asked for.
class Source {
 public:
  explicit Source(std::string_view bytes) : bytes_(bytes), packed_(bytes.starts_with(kGzip)) {
    if (!packed_) return;
    TW_CHECK(inflateInit2(&stream_, 15 + 16) == Z_OK, data, "no memory to unpack it");
    stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
  }
  ~Source() {
    if (packed_) inflateEnd(&stream_);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  // At most n; 0 at the end.
  size_t some(void* to, size_t n) {
    if (!packed_) {
      n = std::min(n, bytes_.size());
      std::memcpy(to, bytes_.data(), n);
      bytes_.remove_prefix(n);
      return n;
    }
    stream_.next_out = static_cast<Bytef*>(to);
    stream_.avail_out = uInt(std::min<size_t>(n, 1u << 30));
    const uInt wanted = stream_.avail_out;
    while (stream_.avail_out > 0 && !ended_) {
      stream_.avail_in = uInt(std::min<size_t>(left(), 1u << 30));
      const int result = inflate(&stream_, Z_NO_FLUSH);
      TW_CHECK(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR, data, "damaged: {}", stream_.msg ? stream_.msg : "gzip");
      ended_ = result == Z_STREAM_END;
      if (!ended_ && left() == 0 && stream_.avail_out > 0) TW_FAIL(data, "cut off within its gzip");
    }
    return wanted - stream_.avail_out;
  }
  void all(void* to, size_t n, const char* what) {
    for (size_t got = 0; got < n;) {
      const size_t more = some(static_cast<char*>(to) + got, n - got);
      TW_CHECK(more > 0, data, "it ends within {}", what);
      got += more;
    }
  }
  uint32_t number() {
    uint8_t b[4];
    all(b, 4, "its head");
    return uint32_t(b[0]) << 24 | uint32_t(b[1]) << 16 | uint32_t(b[2]) << 8 | b[3];
  }

 private:
  size_t left() const { return bytes_.size() - size_t(stream_.next_in - reinterpret_cast<const Bytef*>(bytes_.data())); }
  std::string_view bytes_;
  bool packed_, ended_ = false;
  z_stream stream_{};
};

uint32_t number_of(std::string_view magic) {
  uint32_t n = 0;
  for (const char c : magic) n = n << 8 | uint8_t(c);
  return n;
}

}  // namespace

bool is_idx(std::string_view bytes) noexcept { return bytes.starts_with(kPictures) || bytes.starts_with(kGzip); }

void read_idx(std::string_view pictures, std::string_view labels, const std::function<void(const uint8_t*, int, int, int)>& visit) {
  Source source(pictures);
  TW_CHECK(source.number() == number_of(kPictures), data, "no idx file of pictures of bytes");
  const int64_t count = source.number(), height = source.number(), width = source.number();
  TW_CHECK(count >= 1 && count <= kMostPictures, data, "{} pictures", count);
  TW_CHECK(width >= 1 && height >= 1 && width <= kLongestSide && height <= kLongestSide && width * height <= kMostPixels, data, "pictures of {} x {} pixels", width, height);
  std::unique_ptr<Source> names;
  if (!labels.empty()) {
    names = std::make_unique<Source>(labels);
    TW_CHECK(names->number() == number_of(kLabels), data, "the labels beside it are no idx file of bytes");
    const int64_t named = names->number();
    TW_CHECK(named == count, data, "{} pictures, and beside them {} labels", count, named);
  }
  // Room as bytes come: a head may promise what is not there.
  std::vector<uint8_t> pixels;
  const auto size = size_t(width * height);
  for (int64_t i = 0; i < count; ++i) {
    for (size_t got = 0; got < size;) {
      const size_t step = std::min(std::max(got, kSmall), size - got);
      if (pixels.size() < got + step) pixels.resize(got + step);
      source.all(pixels.data() + got, step, "its pictures");
      got += step;
    }
    uint8_t label = 0;
    if (names) names->all(&label, 1, "its labels");
    visit(pixels.data(), int(width), int(height), names ? label : -1);
  }
}

}  // namespace tw
