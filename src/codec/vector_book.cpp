#include "src/codec/vector_book.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "src/core/error.h"
#include "src/core/thread_team.h"

namespace tw {
namespace {
constexpr int kRounds = 20;
constexpr size_t kBlock = 512;  // points of an item of work
constexpr size_t kSide = 64, kLanes = 8;  // vectors whose scores are made side by side, and of which the least are told apart

// Of |p - v|^2 only |v|^2 / 2 - p v depends on the vector. The same bits whatever the processor: no score is a sum in another order.
[[gnu::always_inline]] inline size_t nearest_of(const float* across, const float* halves, size_t n, size_t dimension, const float* point) {
  float best = std::numeric_limits<float>::infinity();
  size_t at = 0;
  for (size_t i = 0; i < n; i += kSide) {
    float scores[kSide];
    const size_t side = std::min(kSide, n - i);
    if (side == kSide) {
      for (size_t j = 0; j < kSide; ++j) scores[j] = halves[i + j];
      for (size_t k = 0; k < dimension; ++k) {
        const float p = point[k], *row = across + k * n + i;
        for (size_t j = 0; j < kSide; ++j) scores[j] -= p * row[j];
      }
      float low[kLanes];
      for (size_t l = 0; l < kLanes; ++l) low[l] = scores[l];
      for (size_t j = kLanes; j < kSide; j += kLanes)
        for (size_t l = 0; l < kLanes; ++l) low[l] = scores[j + l] < low[l] ? scores[j + l] : low[l];
      if (!(*std::min_element(low, low + kLanes) < best)) continue;
    } else {
      for (size_t j = 0; j < side; ++j) {
        scores[j] = halves[i + j];
        for (size_t k = 0; k < dimension; ++k) scores[j] -= point[k] * across[k * n + i + j];
      }
    }
    const float* least = std::min_element(scores, scores + side);
    if (*least < best) best = *least, at = i + size_t(least - scores);
  }
  return at;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) size_t nearest_avx2(const float* across, const float* halves, size_t n, size_t dimension, const float* point) {
  return nearest_of(across, halves, n, dimension, point);
}
#endif
}  // namespace

VectorBook::VectorBook(int dimension, std::vector<float> vectors) : dimension_(dimension), vectors_(std::move(vectors)) {
  TW_CHECK(dimension >= 1 && !vectors_.empty() && vectors_.size() % size_t(dimension) == 0, bug, "{} numbers are no vectors of {}", vectors_.size(), dimension);
  finish();
}

void VectorBook::finish() {
  const auto n = size_t(size()), d = size_t(dimension_);
  across_.resize(n * d), halves_.assign(n, 0);
  for (size_t i = 0; i < n; ++i)
    for (size_t k = 0; k < d; ++k) {
      const float v = vectors_[i * d + k];
      across_[k * n + i] = v, halves_[i] += 0.5f * v * v;
    }
}

int VectorBook::nearest(std::span<const float> point) const {
#if defined(__x86_64__)
  static const bool avx2 = __builtin_cpu_supports("avx2");
  if (avx2) return int(nearest_avx2(across_.data(), halves_.data(), size_t(size()), size_t(dimension_), point.data()));
#endif
  return int(nearest_of(across_.data(), halves_.data(), size_t(size()), size_t(dimension_), point.data()));
}

VectorBook VectorBook::trained(std::span<const float> points, int dimension, int most, int threads) {
  const auto d = size_t(dimension), n = points.size() / d;
  TW_CHECK(n > 0 && most > 0, bug, "a codebook of {} vectors from {} points", most, n);
  // Points far apart in the order of their size begin.
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t(0));
  std::vector<double> energy(n);
  for (size_t i = 0; i < n; ++i)
    for (size_t k = 0; k < d; ++k) energy[i] += double(points[i * d + k]) * double(points[i * d + k]);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return energy[a] < energy[b]; });
  const size_t size = std::min(size_t(most), n);
  std::vector<float> vectors;
  for (size_t v = 0; v < size; ++v) {
    const auto p = points.subspan(order[(2 * v + 1) * n / (2 * size)] * d, d);
    vectors.insert(vectors.end(), p.begin(), p.end());
  }
  VectorBook book(dimension, std::move(vectors));
  ThreadTeam team(std::max(1, threads));
  std::vector<int> of(n);
  std::vector<float> far(n);
  for (int round = 0; round < kRounds; ++round) {
    team.run(int64_t((n + kBlock - 1) / kBlock), [&](int64_t item, int) {
      for (size_t i = size_t(item) * kBlock; i < std::min(n, (size_t(item) + 1) * kBlock); ++i) {
        const auto p = points.subspan(i * d, d);
        of[i] = book.nearest(p);
        const auto v = book.vector(of[i]);
        far[i] = 0;
        for (size_t k = 0; k < d; ++k) far[i] += (p[k] - v[k]) * (p[k] - v[k]);
      }
    });
    std::vector<double> sums(size * d);
    std::vector<int64_t> counts(size);
    for (size_t i = 0; i < n; ++i) {
      ++counts[size_t(of[i])];
      for (size_t k = 0; k < d; ++k) sums[size_t(of[i]) * d + k] += double(points[i * d + k]);
    }
    // A vector nobody is near takes the place of the point that is farthest from its own.
    std::vector<size_t> lost;
    for (size_t v = 0; v < size; ++v)
      if (counts[v] == 0) lost.push_back(v);
    if (!lost.empty()) {
      std::vector<size_t> farthest(n);
      std::iota(farthest.begin(), farthest.end(), size_t(0));
      const size_t wanted = std::min(lost.size(), n);
      std::partial_sort(farthest.begin(), farthest.begin() + std::ptrdiff_t(wanted), farthest.end(),
                        [&](size_t a, size_t b) { return far[a] > far[b] || (far[a] == far[b] && a < b); });
      for (size_t l = 0; l < wanted; ++l) {
        counts[lost[l]] = 1;
        for (size_t k = 0; k < d; ++k) sums[lost[l] * d + k] = double(points[farthest[l] * d + k]);
      }
    }
    for (size_t v = 0; v < size; ++v)
      for (size_t k = 0; k < d && counts[v] > 0; ++k) book.vectors_[v * d + k] = float(sums[v * d + k] / double(counts[v]));
    book.finish();
  }
  return book;
}

void SampledPoints::add(std::span<const float> point) {
  if (seen_++ % stride_ != 0) return;
  points_.insert(points_.end(), point.begin(), point.end());
  if (points_.size() <= most_ * dimension_) return;
  const size_t left = (points_.size() / dimension_ + 1) / 2;
  for (size_t i = 0; i < left; ++i) std::copy_n(points_.begin() + std::ptrdiff_t(2 * i * dimension_), dimension_, points_.begin() + std::ptrdiff_t(i * dimension_));
  points_.resize(left * dimension_);
  stride_ *= 2;
}

}  // namespace tw
