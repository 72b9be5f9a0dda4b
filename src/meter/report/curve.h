// A curve of any length in bounded memory: equal stretches of its points, each with its mean and its range.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tw::report {

struct Stretch {
  double first = 0, last = 0;  // steps
  double mean = 0, low = 0, high = 0;
  int64_t points = 0;
  double step() const { return first + (last - first) / 2; }
};

class Curve {
 public:
  // The next point. Left out where the value is not finite (or beyond 1e100) or the step does not rise.
  void add(double step, double value);

  bool empty() const { return stretches_.empty(); }
  int64_t points() const { return points_; }
  double first_step() const;  // NaN where empty, as the following
  double last_step() const;
  double first() const;
  double last() const;
  double low() const;
  double high() const;
  double median() const;  // without the first point, which pays for the start; past 4096 points, of stretches' means

  void scale(double factor);  // above 0
  // At most `most` stretches: the points themselves where there are no more than that.
  std::vector<Stretch> stretches(size_t most) const;

 private:
  std::vector<Stretch> stretches_;  // of stride_ points each; the last may have fewer
  int64_t stride_ = 1, points_ = 0;
  double first_ = 0, last_ = 0;
};

}  // namespace tw::report
