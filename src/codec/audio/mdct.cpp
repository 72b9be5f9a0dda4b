#include "src/codec/audio/mdct.h"

#include <cmath>
#include <numbers>

#include "src/core/error.h"

namespace tw {

Mdct::Mdct(int hop) : hop_(hop), basis_(size_t(hop) * size_t(hop) * 2) {
  TW_CHECK(hop >= 1 && hop <= 4096, bug, "an MDCT of {} coefficients", hop);
  const double n = hop;
  for (int k = 0; k < hop; ++k)
    for (int i = 0; i < 2 * hop; ++i)
      basis_[size_t(k) * size_t(hop) * 2 + size_t(i)] =
          float(std::sqrt(2 / n) * std::sin(std::numbers::pi * (i + 0.5) / (2 * n)) * std::cos(std::numbers::pi / n * (i + 0.5 + n / 2) * (k + 0.5)));
}

// A product with a matrix: at the hops of speech as fast as a transform of its size, and sums in one order.
void Mdct::forward(std::span<const float> samples, std::span<float> coefficients) const {
  const auto width = size_t(hop_) * 2;
  for (size_t k = 0; k < size_t(hop_); ++k) {
    const float* row = basis_.data() + k * width;
    float sums[8] = {};
    for (size_t i = 0; i + 8 <= width; i += 8)
      for (size_t l = 0; l < 8; ++l) sums[l] += row[i + l] * samples[i + l];
    float sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
    for (size_t i = width / 8 * 8; i < width; ++i) sum += row[i] * samples[i];
    coefficients[k] = sum;
  }
}

void Mdct::add_inverse(std::span<const float> coefficients, std::span<float> samples) const {
  const auto width = size_t(hop_) * 2;
  for (size_t k = 0; k < size_t(hop_); ++k) {
    const float* row = basis_.data() + k * width;
    const float c = coefficients[k];
    for (size_t i = 0; i < width; ++i) samples[i] += c * row[i];
  }
}

}  // namespace tw
