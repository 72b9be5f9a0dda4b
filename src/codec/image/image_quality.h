// How near a picture is to another.
#pragma once
#include <cstdint>

#include "src/codec/image/picture.h"

namespace tw {

// Sum of squared differences and how many values those are; both pictures have the same sides. Grey ones are compared as such.
struct SquaredError {
  double sum = 0;
  int64_t values = 0;
  double psnr() const;  // dB over 255; 99 where nothing differs
};
SquaredError squared_error(const Picture& a, const Picture& b);

// Mean structural similarity of the brightness: windows of 11 x 11 (smaller ones for smaller pictures) weighted by a Gaussian of 1.5 pixels.
// Wang, Bovik, Sheikh, Simoncelli 2004, section III.
double ssim(const Picture& a, const Picture& b);

}  // namespace tw
