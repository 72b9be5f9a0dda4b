// The next token from logits.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "src/core/tensor.h"

namespace tw {

struct SamplingOptions {
  double temperature = 1;  // 0 = the most likely token (the smallest id among equals)
  int64_t top_k = 0;       // only the k most likely; 0 = all
  double top_p = 1;        // only the smallest set whose probability reaches p (Holtzman et al. 2020, arXiv:1904.09751)
  uint64_t seed = 0;
  void check() const;      // Error(config)
};

class Sampler {
 public:
  // Draws ids from `first` on and below `end`.
  Sampler(const SamplingOptions& options, int64_t end, int64_t first = 0);
  // Ids that are not allowed (0; first to end) are not drawn: their logits become -inf. Error(bug) where none is.
  void leave_out(View logits, std::span<const uint8_t> allowed, const Stream& stream);
  // logits (at least `end`) fp32, on the stream's device; token `position` of sample `sample`: the same choice for the same numbers,
  // whatever else is generated. Error(numerics) where no logit is finite.
  int32_t pick(ConstView logits, int64_t sample, int64_t position, const Stream& stream);

 private:
  SamplingOptions options_;
  int64_t first_, end_;
  Tensor picked_, host_;  // (1) i32, on the device and beside it
  Tensor logits_;         // (end - first) fp32, on the host
};

}  // namespace tw
