#include "src/nn/fsq.h"

#include <algorithm>
#include <cmath>

#include "src/core/error.h"

namespace tw {
namespace {
constexpr size_t kMostNumbers = 16;
constexpr int kMostLevels = 64;
constexpr int64_t kMostCodes = int64_t(1) << 20;
constexpr double kBeyond = 1e-3;  // how far the bound lies outside the outermost levels, so that they are reached
}  // namespace

FiniteScalars::FiniteScalars(std::vector<int> levels) : levels_(std::move(levels)) {
  TW_CHECK(!levels_.empty() && levels_.size() <= kMostNumbers, data, "codes of {} numbers: 1 to {}", levels_.size(), kMostNumbers);
  for (const int n : levels_) {
    TW_CHECK(n >= 2 && n <= kMostLevels, data, "{} levels of a number: 2 to {}", n, kMostLevels);
    codes_ *= n;
    TW_CHECK(codes_ <= kMostCodes, data, "more than {} codes", kMostCodes);
    const double half = (n - 1) * (1 + kBeyond) / 2, offset = n % 2 ? 0 : 0.5;
    forms_.push_back({float(half), float(offset), float(std::atanh(offset / half)), float(n / 2)});
  }
}

void FiniteScalars::quantise(std::span<const float> numbers, std::span<float> values) const {
  TW_CHECK(numbers.size() == values.size() && numbers.size() % levels_.size() == 0, bug, "{} numbers become {} values of {}", numbers.size(), values.size(), levels_.size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t k = i % levels_.size();
    const Level& form = forms_[k];
    const float bounded = std::tanh(numbers[i] + form.shift) * form.half - form.offset;
    // A number that is none becomes the lowest level.
    const float low = -form.width, high = float(levels_[k] - 1) - form.width, rounded = std::nearbyint(bounded);
    values[i] = (rounded >= low ? std::min(rounded, high) : low) / form.width;
  }
}

void FiniteScalars::backward(std::span<const float> numbers, std::span<const float> dvalues, std::span<float> dnumbers) const {
  TW_CHECK(numbers.size() == dvalues.size() && numbers.size() == dnumbers.size(), bug, "{} numbers, {} and {} gradients", numbers.size(), dvalues.size(), dnumbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    const Level& form = forms_[i % levels_.size()];
    const float t = std::tanh(numbers[i] + form.shift);
    dnumbers[i] = dvalues[i] * form.half / form.width * (1 - t * t);
  }
}

int32_t FiniteScalars::code_of(std::span<const float> values) const {
  int64_t code = 0, place = 1;
  for (size_t k = 0; k < levels_.size(); place *= levels_[k++]) code += place * std::lround(values[k] * forms_[k].width + forms_[k].width);
  return int32_t(code);
}

void FiniteScalars::values_of(int32_t code, std::span<float> values) const {
  TW_CHECK(code >= 0 && code < codes_, bug, "code {} of {}", code, codes_);
  for (size_t k = 0; k < levels_.size(); code /= levels_[k++]) values[k] = (float(code % levels_[k]) - forms_[k].width) / forms_[k].width;
}

}  // namespace tw
