#include "src/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/sampling.h"
#include "src/core/rng.h"

namespace tw {

void SamplingOptions::check() const {
  TW_CHECK(std::isfinite(temperature) && temperature >= 0, config, "generate.temperature = {} must be 0 or more", temperature);
  TW_CHECK(top_k >= 0, config, "generate.top_k = {} must be 0 (all) or more", top_k);
  TW_CHECK(top_p > 0 && top_p <= 1, config, "generate.top_p = {} must lie above 0 and not above 1", top_p);
}

Sampler::Sampler(const SamplingOptions& options, int64_t end, int64_t first) : options_(options), first_(first), end_(end) {
  options.check();
}

void Sampler::leave_out(View logits, std::span<const uint8_t> allowed, const Stream& stream) {
  const int64_t count = end_ - first_;
  TW_CHECK(int64_t(allowed.size()) == count && std::find(allowed.begin(), allowed.end(), 1) != allowed.end(), bug, "of {} ids {} may be drawn", count,
           std::count(allowed.begin(), allowed.end(), 1));
  if (logits_.count() == 0) logits_ = Tensor::beside(stream, {count}, DType::fp32);
  const View drawn(logits.as<float>() + first_, DType::fp32, {count}, logits.device);
  copy(drawn, logits_.view(), stream);
  synchronize(stream);
  for (int64_t i = 0; i < count; ++i)
    if (!allowed[size_t(i)]) logits_.as<float>()[i] = -std::numeric_limits<float>::infinity();
  copy(logits_.view(), drawn, stream);
}

int32_t Sampler::pick(ConstView logits, int64_t sample, int64_t position, const Stream& stream) {
  if (picked_.count() == 0) picked_ = Tensor({1}, DType::i32, stream.device()), host_ = Tensor::beside(stream, {1}, DType::i32);
  const Rng rng{options_.seed, RngStream::sampling, uint32_t(sample), 0};
  const int64_t count = end_ - first_;
  const ConstView drawn(logits.as<float>() + first_, DType::fp32, {count}, logits.device);
  pick_token({.logits = drawn, .id = picked_.view(), .vocab = count, .temperature = options_.temperature, .top_k = options_.top_k,
              .top_p = options_.top_p, .uniform = rng.uniform(uint64_t(position))},
             stream);
  copy(picked_.view(), host_.view(), stream);
  synchronize(stream);
  const int32_t id = host_.as<int32_t>()[0];
  TW_CHECK(id >= 0, numerics, "the model's logits are not finite");
  return int32_t(first_) + id;
}

}  // namespace tw
