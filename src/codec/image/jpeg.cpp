// JPEG by libjpeg-turbo.
#include <turbojpeg.h>

#include <algorithm>
#include <memory>

#include "src/codec/image/area_scaler.h"
#include "src/codec/image/picture.h"
#include "src/core/error.h"

namespace tw {
namespace {

struct Destroy {
  void operator()(void* handle) const { tjDestroy(handle); }
};
using Handle = std::unique_ptr<void, Destroy>;

const uint8_t* data_of(std::string_view bytes) { return reinterpret_cast<const uint8_t*>(bytes.data()); }

// Calls visit(marker, content) for each segment before the scan; returns where the scan's data begin, or npos.
template <class Visit>
size_t for_segments(std::string_view bytes, Visit&& visit) {
  const auto byte = [&](size_t i) { return unsigned(uint8_t(bytes[i])); };
  for (size_t at = 2; at + 4 <= bytes.size();) {
    if (byte(at) != 0xFF) return std::string_view::npos;
    if (byte(at + 1) == 0xFF) {  // fill
      ++at;
      continue;
    }
    const size_t length = byte(at + 2) << 8 | byte(at + 3);
    if (length < 2 || at + 2 + length > bytes.size()) return std::string_view::npos;
    visit(byte(at + 1), bytes.substr(at + 4, length - 2));
    at += 2 + length;
    if (byte(at - length - 1) == 0xDA) return at;
  }
  return std::string_view::npos;
}

// Exif 2.3, tag 0x0112: 1 to 8; 1 where nothing is said.
int orientation_of(std::string_view bytes) {
  int orientation = 1;
  for_segments(bytes, [&](unsigned marker, std::string_view s) {
    if (marker != 0xE1 || !s.starts_with(std::string_view("Exif\0\0", 6)) || s.size() < 14) return;
    s.remove_prefix(6);
    const bool little = s.starts_with("II");
    const auto number = [&](size_t at, size_t width) {
      uint32_t n = 0;
      for (size_t i = 0; i < width; ++i) n |= uint32_t(uint8_t(s[at + i])) << 8 * (little ? i : width - 1 - i);
      return n;
    };
    const size_t table = number(4, 4);
    if (table > s.size() || s.size() - table < 2) return;
    const size_t entries = number(table, 2);
    for (size_t e = 0; e < entries && table + 2 + 12 * (e + 1) <= s.size(); ++e) {
      const size_t at = table + 2 + 12 * e;
      if (number(at, 2) == 0x0112 && number(at + 2, 2) == 3) orientation = int(number(at + 8, 2));
    }
  });
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

Picture turned(const Picture& p, int orientation) {
  if (orientation == 1) return p;
  const bool swapped = orientation >= 5;
  Picture out{.width = swapped ? p.height : p.width, .height = swapped ? p.width : p.height, .channels = p.channels, .pixels = std::vector<uint8_t>(p.pixels.size())};
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x) {
      int fx = swapped ? y : x, fy = swapped ? x : y;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) fx = p.width - 1 - fx;
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) fy = p.height - 1 - fy;
      for (int c = 0; c < p.channels; ++c) out.pixels[(size_t(y) * size_t(out.width) + size_t(x)) * size_t(p.channels) + size_t(c)] = p.at(fx, fy, c);
    }
  return out;
}

}  // namespace

FoundPicture decode_jpeg(std::string_view bytes, int longest) {
  const Handle handle(tjInitDecompress());
  TW_CHECK(handle, data, "no memory for a JPEG");
  const auto size = static_cast<unsigned long>(bytes.size());
  int width = 0, height = 0, sampling = 0, space = 0;
  TW_CHECK(tjDecompressHeader3(handle.get(), data_of(bytes), size, &width, &height, &sampling, &space) == 0 || tjGetErrorCode(handle.get()) == TJERR_WARNING, data,
           "a damaged JPEG: {}", tjGetErrorStr2(handle.get()));
  TW_CHECK(width >= 1 && height >= 1 && width <= kLongestSide && height <= kLongestSide && int64_t(width) * height <= kMostPixels, data,
           "a picture of {} x {} pixels: more than {} million are refused", width, height, kMostPixels / 1'000'000);
  const Sides to = fitted(width, height, longest);
  // The decoder makes a picture smaller by eighths at less work: as small as it may be.
  int factors = 0;
  const tjscalingfactor* factor = tjGetScalingFactors(&factors);
  Sides rough{width, height};
  for (int i = 0; i < factors; ++i) {
    const Sides s{TJSCALED(width, factor[i]), TJSCALED(height, factor[i])};
    if (s.width >= to.width && s.height >= to.height && s.width < rough.width) rough = s;
  }
  const bool four = space == TJCS_CMYK || space == TJCS_YCCK;
  const size_t channels = four ? 4 : 3;
  std::vector<uint8_t> pixels(size_t(rough.width) * size_t(rough.height) * channels);
  FoundPicture found;
  if (tjDecompress2(handle.get(), data_of(bytes), size, pixels.data(), rough.width, 0, rough.height, four ? TJPF_CMYK : TJPF_RGB, TJFLAG_LIMITSCANS) != 0) {
    const std::string why = tjGetErrorStr2(handle.get());
    TW_CHECK(tjGetErrorCode(handle.get()) == TJERR_WARNING && why.find("Premature end") == why.npos, data, "a damaged JPEG: {}", why);
    found.note = why;
  }
  AreaScaler scaler(rough.width, rough.height, to, 3);
  for (int y = 0; y < rough.height; ++y) {
    uint8_t* row = pixels.data() + size_t(y) * size_t(rough.width) * channels;
    for (size_t x = 0; four && x < size_t(rough.width); ++x)  // inks as Adobe writes them: 255 is none
      for (size_t k = 0; k < 3; ++k) row[3 * x + k] = uint8_t((unsigned(row[4 * x + k]) * row[4 * x + 3] + 127) / 255);
    scaler.add_row(row);
  }
  const int orientation = orientation_of(bytes);
  static_cast<Picture&>(found) = turned(scaler.finish(), orientation);
  found.full_width = orientation >= 5 ? height : width, found.full_height = orientation >= 5 ? width : height;
  return found;
}

std::string jpeg_of(const Picture& picture, int quality) {
  const Handle handle(tjInitCompress());
  TW_CHECK(handle, io, "no memory for a JPEG");
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const int result = tjCompress2(handle.get(), picture.pixels.data(), picture.width, 0, picture.height, picture.channels == 1 ? TJPF_GRAY : TJPF_RGB, &bytes, &size,
                                 picture.channels == 1 ? TJSAMP_GRAY : TJSAMP_420, quality, TJFLAG_ACCURATEDCT);
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owner(bytes, tjFree);
  TW_CHECK(result == 0, bug, "a JPEG cannot be written: {}", tjGetErrorStr2(handle.get()));
  return {reinterpret_cast<const char*>(bytes), size_t(size)};
}

size_t jpeg_scan_bytes(std::string_view jpeg) {
  const size_t begin = for_segments(jpeg, [](unsigned, std::string_view) {});
  return begin == jpeg.npos || jpeg.size() < begin + 2 ? 0 : jpeg.size() - begin - 2;
}

}  // namespace tw
