#include "src/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "src/core/rng.h"

namespace tw {

void SamplingOptions::check() const {
  TW_CHECK(std::isfinite(temperature) && temperature >= 0, config, "generate.temperature = {} must be 0 or more", temperature);
  TW_CHECK(top_k >= 0, config, "generate.top_k = {} must be 0 (all) or more", top_k);
  TW_CHECK(top_p > 0 && top_p <= 1, config, "generate.top_p = {} must lie above 0 and not above 1", top_p);
}

Sampler::Sampler(const SamplingOptions& options, int64_t vocab_size) : options_(options), vocab_size_(vocab_size) {
  options.check();
}

int32_t Sampler::pick(ConstView view, int64_t sample, int64_t position) {
  const float* logits = view.as<float>();
  const int32_t best = int32_t(std::max_element(logits, logits + vocab_size_, [](float a, float b) {
                                 return std::isnan(a) ? !std::isnan(b) : a < b;  // NaN below everything
                               }) - logits);
  TW_CHECK(std::isfinite(logits[best]), numerics, "the model's logits are not finite: the largest is {}", logits[best]);
  if (options_.temperature == 0) return best;

  order_.resize(size_t(vocab_size_));
  std::iota(order_.begin(), order_.end(), 0);
  const auto value = [&](int32_t id) {  // sorting needs an order, and NaN has none
    return std::isnan(logits[id]) ? -std::numeric_limits<float>::infinity() : logits[id];
  };
  const auto more_likely = [&](int32_t a, int32_t b) {
    const float x = value(a), y = value(b);
    return x != y ? x > y : a < b;
  };
  const bool cut = options_.top_k > 0 && options_.top_k < vocab_size_;
  const size_t kept = size_t(cut ? options_.top_k : vocab_size_);
  if (cut) std::partial_sort(order_.begin(), order_.begin() + std::ptrdiff_t(kept), order_.end(), more_likely);
  else if (options_.top_p < 1) std::sort(order_.begin(), order_.end(), more_likely);

  weights_.resize(kept);
  double sum = 0;
  for (size_t i = 0; i < kept; ++i) {
    weights_[i] = std::exp((double(value(order_[i])) - double(logits[best])) / options_.temperature);
    sum += weights_[i];
  }
  size_t last = kept;
  if (options_.top_p < 1) {
    double reached = 0;
    for (last = 0; last < kept && reached < options_.top_p * sum; ++last) reached += weights_[last];
    sum = reached;
  }
  const Rng rng{options_.seed, RngStream::sampling, uint32_t(sample), 0};
  double left = rng.uniform(uint64_t(position)) * sum;
  int32_t possible = best;  // where rounding leaves a rest: the last that may be drawn
  for (size_t i = 0; i < last; ++i) {
    left -= weights_[i];
    if (left < 0) return order_[i];
    if (weights_[i] > 0) possible = order_[i];
  }
  return possible;
}

}  // namespace tw
