#include "src/meter/report/curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tw::report {
namespace {

constexpr size_t kMost = 4096;  // stretches kept
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

void join(Stretch& a, const Stretch& b) {
  if (a.points == 0) {
    a = b;
    return;
  }
  a.last = b.last;
  a.mean += (b.mean - a.mean) * (double(b.points) / double(a.points + b.points));
  a.low = std::min(a.low, b.low);
  a.high = std::max(a.high, b.high);
  a.points += b.points;
}

}  // namespace

void Curve::add(double step, double value) {
  if (!(std::fabs(value) <= 1e100) || !(std::fabs(step) <= 0x1p53)) return;
  if (!empty() && !(step > stretches_.back().last)) return;
  if (empty()) first_ = value;
  last_ = value;
  ++points_;
  const Stretch point{step, step, value, value, value, 1};
  if (!empty() && stretches_.back().points < stride_) {
    join(stretches_.back(), point);
    return;
  }
  if (stretches_.size() == kMost) {  // two become one: half as many, of twice the length
    for (size_t i = 0; i < kMost / 2; ++i) {
      join(stretches_[2 * i], stretches_[2 * i + 1]);
      stretches_[i] = stretches_[2 * i];
    }
    stretches_.resize(kMost / 2);
    stride_ *= 2;
  }
  stretches_.push_back(point);
}

double Curve::first_step() const { return empty() ? kUnknown : stretches_.front().first; }
double Curve::last_step() const { return empty() ? kUnknown : stretches_.back().last; }
double Curve::first() const { return empty() ? kUnknown : first_; }
double Curve::last() const { return empty() ? kUnknown : last_; }

double Curve::low() const {
  double low = kUnknown;
  for (const Stretch& s : stretches_) low = std::fmin(low, s.low);
  return low;
}

double Curve::high() const {
  double high = kUnknown;
  for (const Stretch& s : stretches_) high = std::fmax(high, s.high);
  return high;
}

double Curve::median() const {
  std::vector<double> sorted;
  for (size_t i = stretches_.size() > 1 ? 1 : 0; i < stretches_.size(); ++i) sorted.push_back(stretches_[i].mean);
  if (sorted.empty()) return kUnknown;
  const auto middle = sorted.begin() + std::ptrdiff_t(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

void Curve::scale(double factor) {
  for (Stretch& s : stretches_) s.mean *= factor, s.low *= factor, s.high *= factor;
  first_ *= factor, last_ *= factor;
}

std::vector<Stretch> Curve::stretches(size_t most) const {
  const size_t n = stretches_.size(), parts = std::min(n, most);
  std::vector<Stretch> out(parts);
  for (size_t part = 0; part < parts; ++part)
    for (size_t i = part * n / parts; i < (part + 1) * n / parts; ++i) join(out[part], stretches_[i]);
  return out;
}

}  // namespace tw::report
