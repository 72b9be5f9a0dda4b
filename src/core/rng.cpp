#include "src/core/rng.h"

#include <cmath>
#include <numbers>

namespace tw {

float Rng::normal(uint64_t index) const noexcept {
  const auto w = block(index / 2);
  const int half = index % 2 ? 2 : 0;
  const double u = (double(w[size_t(half)]) + 0.5) * 0x1p-32, v = double(w[size_t(half) + 1]) * 0x1p-32;
  return float(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
}

}  // namespace tw
