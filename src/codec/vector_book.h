// Codebooks of vectors: k-means (Lloyd 1982, Linde, Buzo, Gray 1980), and residual stages (Gray 1984, multistage VQ).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace tw {

class VectorBook {
 public:
  VectorBook() = default;
  VectorBook(int dimension, std::vector<float> vectors);
  // points: (n, dimension). At most `most` vectors; fewer where there are fewer different points. The same for any number of threads.
  static VectorBook trained(std::span<const float> points, int dimension, int most, int threads);

  int dimension() const noexcept { return dimension_; }
  int size() const noexcept { return dimension_ ? int(vectors_.size()) / dimension_ : 0; }
  std::span<const float> vector(int i) const { return std::span(vectors_).subspan(size_t(i) * size_t(dimension_), size_t(dimension_)); }
  const std::vector<float>& vectors() const noexcept { return vectors_; }
  int nearest(std::span<const float> point) const;  // the smallest index among equals

 private:
  void finish();
  int dimension_ = 0;
  std::vector<float> vectors_, across_, halves_;  // across_: (dimension, size), halves_: half of each vector's square
};

// Every so many points of a stream that is longer than what shall be kept: each second one is given up where there are too many.
class SampledPoints {
 public:
  SampledPoints(int dimension, size_t most) : dimension_(size_t(dimension)), most_(most) {}
  void add(std::span<const float> point);  // (dimension)
  std::vector<float>& points() noexcept { return points_; }

 private:
  size_t dimension_, most_;
  int64_t stride_ = 1, seen_ = 0;
  std::vector<float> points_;
};

}  // namespace tw
