#include "src/codec/image/image_quality.h"

#include <algorithm>
#include <cmath>

#include "src/core/error.h"

namespace tw {
namespace {

constexpr int kRadius = 5;
constexpr double kSigma = 1.5, kC1 = 0.01 * 255 * 0.01 * 255, kC2 = 0.03 * 255 * 0.03 * 255;

std::vector<double> brightness(const Picture& p) {
  std::vector<double> y;
  for (int r = 0; r < p.height; ++r)
    for (int x = 0; x < p.width; ++x) y.push_back(p.channels == 1 ? double(p.at(x, r, 0)) : 0.299 * p.at(x, r, 0) + 0.587 * p.at(x, r, 1) + 0.114 * p.at(x, r, 2));
  return y;
}

void check_sides(const Picture& a, const Picture& b) {
  TW_CHECK(a.width == b.width && a.height == b.height, bug, "pictures of {} x {} and {} x {} pixels are compared", a.width, a.height, b.width, b.height);
}

}  // namespace

double SquaredError::psnr() const { return values == 0 || sum == 0 ? 99 : 10 * std::log10(255.0 * 255.0 * double(values) / sum); }

SquaredError squared_error(const Picture& a, const Picture& b) {
  check_sides(a, b);
  SquaredError e;
  const int channels = std::max(a.channels, b.channels);
  for (int y = 0; y < a.height; ++y)
    for (int x = 0; x < a.width; ++x)
      for (int c = 0; c < channels; ++c) {
        const double d = double(a.at(x, y, c)) - double(b.at(x, y, c));
        e.sum += d * d, ++e.values;
      }
  return e;
}

double ssim(const Picture& a, const Picture& b) {
  check_sides(a, b);
  const std::vector<double> p = brightness(a), q = brightness(b);
  const int rx = std::min(kRadius, (a.width - 1) / 2), ry = std::min(kRadius, (a.height - 1) / 2);
  double weights[2 * kRadius + 1];
  for (int i = -kRadius; i <= kRadius; ++i) weights[i + kRadius] = std::exp(-double(i * i) / (2 * kSigma * kSigma));
  double total = 0;
  int64_t windows = 0;
  for (int y = ry; y + ry < a.height; ++y)
    for (int x = rx; x + rx < a.width; ++x) {
      double w = 0, sp = 0, sq = 0, pp = 0, qq = 0, pq = 0;
      for (int j = -ry; j <= ry; ++j)
        for (int i = -rx; i <= rx; ++i) {
          const size_t at = size_t(y + j) * size_t(a.width) + size_t(x + i);
          const double g = weights[i + kRadius] * weights[j + kRadius];
          w += g, sp += g * p[at], sq += g * q[at], pp += g * p[at] * p[at], qq += g * q[at] * q[at], pq += g * p[at] * q[at];
        }
      const double mp = sp / w, mq = sq / w, vp = pp / w - mp * mp, vq = qq / w - mq * mq, cov = pq / w - mp * mq;
      total += (2 * mp * mq + kC1) * (2 * cov + kC2) / ((mp * mp + mq * mq + kC1) * (vp + vq + kC2));
      ++windows;
    }
  return windows ? total / double(windows) : 1;
}

}  // namespace tw
