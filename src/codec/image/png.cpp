// PNG by libspng.
#include <spng.h>

#include <memory>

#include "src/codec/image/area_scaler.h"
#include "src/codec/image/picture.h"
#include "src/core/error.h"

namespace tw {
namespace {

constexpr size_t kMostChunk = size_t(64) << 20;  // bytes of a chunk of text or colour profile

struct Free {
  void operator()(spng_ctx* context) const { spng_ctx_free(context); }
};
using Context = std::unique_ptr<spng_ctx, Free>;

void check(int result, const char* what) { TW_CHECK(result == 0, data, "a damaged PNG: {}: {}", what, spng_strerror(result)); }

// Over white; 4 bytes a pixel become 3.
void cover(const uint8_t* rgba, size_t pixels, uint8_t* rgb) {
  for (size_t i = 0; i < pixels; ++i) {
    const unsigned a = rgba[4 * i + 3];
    for (size_t k = 0; k < 3; ++k) rgb[3 * i + k] = uint8_t((rgba[4 * i + k] * a + 255 * (255 - a) + 127) / 255);
  }
}

}  // namespace

FoundPicture decode_png(std::string_view bytes, int longest) {
  const Context context(spng_ctx_new(0));
  TW_CHECK(context, data, "no memory for a PNG");
  check(spng_set_image_limits(context.get(), kLongestSide, kLongestSide), "limits");
  check(spng_set_chunk_limits(context.get(), kMostChunk, kMostChunk), "limits");
  check(spng_set_png_buffer(context.get(), bytes.data(), bytes.size()), "its bytes");
  spng_ihdr head{};
  check(spng_get_ihdr(context.get(), &head), "its head");
  const auto width = int64_t(head.width), height = int64_t(head.height);
  TW_CHECK(width * height <= kMostPixels, data, "a picture of {} x {} pixels: more than {} million are refused", width, height, kMostPixels / 1'000'000);
  AreaScaler scaler(int(width), int(height), fitted(int(width), int(height), longest), 3);
  std::vector<uint8_t> rgb(size_t(width) * 3), rgba(size_t(width) * 4 * (head.interlace_method ? size_t(height) : 1));
  if (head.interlace_method) {
    check(spng_decode_image(context.get(), rgba.data(), rgba.size(), SPNG_FMT_RGBA8, SPNG_DECODE_TRNS), "its pixels");
    for (int64_t y = 0; y < height; ++y) cover(rgba.data() + size_t(y * width) * 4, size_t(width), rgb.data()), scaler.add_row(rgb.data());
  } else {
    check(spng_decode_image(context.get(), nullptr, 0, SPNG_FMT_RGBA8, SPNG_DECODE_TRNS | SPNG_DECODE_PROGRESSIVE), "its pixels");
    for (int64_t y = 0; y < height; ++y) {
      const int result = spng_decode_row(context.get(), rgba.data(), rgba.size());
      if (result != SPNG_EOI || y + 1 < height) check(result, "its pixels");
      cover(rgba.data(), size_t(width), rgb.data());
      scaler.add_row(rgb.data());
    }
  }
  FoundPicture found;
  static_cast<Picture&>(found) = scaler.finish();
  found.full_width = int(width), found.full_height = int(height);
  return found;
}

std::string png_of(const Picture& picture) {
  const Context context(spng_ctx_new(SPNG_CTX_ENCODER));
  TW_CHECK(context, io, "no memory for a PNG");
  const auto must = [](int result) { TW_CHECK(result == 0, bug, "a PNG cannot be written: {}", spng_strerror(result)); };
  must(spng_set_option(context.get(), SPNG_ENCODE_TO_BUFFER, 1));
  spng_ihdr head{};
  head.width = uint32_t(picture.width), head.height = uint32_t(picture.height), head.bit_depth = 8;
  head.color_type = picture.channels == 1 ? SPNG_COLOR_TYPE_GRAYSCALE : SPNG_COLOR_TYPE_TRUECOLOR;
  must(spng_set_ihdr(context.get(), &head));
  must(spng_encode_image(context.get(), picture.pixels.data(), picture.pixels.size(), SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE));
  size_t size = 0;
  int result = 0;
  const std::unique_ptr<void, void (*)(void*)> bytes(spng_get_png_buffer(context.get(), &size, &result), std::free);
  must(result);
  return {static_cast<const char*>(bytes.get()), size};
}

}  // namespace tw
