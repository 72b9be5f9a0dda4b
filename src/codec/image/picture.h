// Pictures in files of others (PNG, JPEG, idx) as rows of pixels, and PNG out of pixels.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "src/codec/codec.h"

namespace tw {

struct Picture {
  int width = 0, height = 0, channels = 0;  // 1: grey, 3: red, green, blue
  std::vector<uint8_t> pixels;              // (height, width, channels)
  uint8_t at(int x, int y, int c) const { return pixels[(size_t(y) * size_t(width) + size_t(x)) * size_t(channels) + size_t(channels == 1 ? 0 : c)]; }
  bool operator==(const Picture&) const = default;
};

// One of a file: made smaller where it was larger than asked for.
struct FoundPicture : Picture {
  int full_width = 0, full_height = 0;  // as the file has it
  int label = -1;                       // of an idx file with labels beside it, 0 to 255
  std::string note;                     // what a person should know of it though it could be read
};

inline constexpr int64_t kMostPixels = int64_t(1) << 26;  // of a picture: larger ones are refused
inline constexpr int kLongestSide = 65535;

// Reads the pictures of a file in a sandboxed child (core/sandbox.h), none with a side of more than `longest` pixels: larger ones are averaged
// over areas. What is transparent is white; a JPEG is turned as its Exif orientation says; a picture without colours is grey.
// idx files (also with .gz) hold many pictures, and the labels of NAME-images-idx3-ubyte are in NAME-labels-idx1-ubyte beside it.
// Error(data) where it is no picture, a damaged one, or one of more than kMostPixels.
void read_pictures(const CodecInput& file, int longest, const std::function<void(FoundPicture)>& take);

// Sides of a picture made to fit.
struct Sides {
  int width = 0, height = 0;
};
Sides fitted(int width, int height, int longest) noexcept;

std::string png_of(const Picture& picture);

// In the child, each of one format:
FoundPicture decode_png(std::string_view bytes, int longest);
FoundPicture decode_jpeg(std::string_view bytes, int longest);
std::string jpeg_of(const Picture& picture, int quality);  // 1 to 100, colours at half the resolution
size_t jpeg_scan_bytes(std::string_view jpeg);             // without tables and heads

}  // namespace tw
