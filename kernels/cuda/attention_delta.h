#pragma once
#include "kernels/attention.h"

namespace tw::cuda {
// delta[b,h,t] = sum_d dout out: what a softmax's gradient takes off each row (Dao 2023, section 3.1). fp32, (B, H, T).
void attention_delta(const AttentionBackward& op, float* delta, const Stream& stream);
}  // namespace tw::cuda
