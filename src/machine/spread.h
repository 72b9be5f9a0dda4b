// A figure that was measured several times.
#pragma once
#include <algorithm>
#include <vector>

#include "src/core/clock.h"

namespace tw {

struct Spread {
  double best = 0, median = 0, worst = 0;  // seconds
  int repeats = 0;
  double noise() const { return median > 0 ? (worst - best) / median : 0; }
};

inline double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

inline Spread spread_of(const std::vector<double>& seconds) {
  if (seconds.empty()) return {};
  const auto [low, high] = std::minmax_element(seconds.begin(), seconds.end());
  return {*low, median_of(seconds), *high, int(seconds.size())};
}

// Times body() `repeats` times after one that does not count; where that takes longer than `budget` seconds, less often,
// but twice at least.
template <class Body>
Spread time_repeated(int repeats, double budget, Body&& body) {
  body();
  std::vector<double> seconds;
  const double begin = now_seconds();
  while (int(seconds.size()) < repeats && (seconds.size() < 2 || now_seconds() - begin < budget)) {
    const double start = now_seconds();
    body();
    seconds.push_back(now_seconds() - start);
  }
  return spread_of(seconds);
}

}  // namespace tw
