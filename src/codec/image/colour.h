// Brightness and two differences of colour (ITU-R BT.601, full range), each in [0, 1] and [-0.5, 0.5].
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace tw {

struct Ycc {
  float y, cb, cr;
};

// r, g, b: 0 to 255.
inline Ycc ycc_of(float r, float g, float b) {
  const float y = 0.299f * r + 0.587f * g + 0.114f * b;
  return {y / 255, (b - y) / 1.772f / 255, (r - y) / 1.402f / 255};
}

inline uint8_t byte_of(float v) { return uint8_t(std::clamp(std::lround(v * 255), 0l, 255l)); }
inline void put_rgb(const Ycc& c, uint8_t* to) {
  to[0] = byte_of(c.y + 1.402f * c.cr), to[1] = byte_of(c.y - 0.344136f * c.cb - 0.714136f * c.cr), to[2] = byte_of(c.y + 1.772f * c.cb);
}

}  // namespace tw
