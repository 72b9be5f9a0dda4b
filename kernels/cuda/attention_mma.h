// Flash attention on tensor cores: bf16, heads of 32, 64, 96 or 128.
#pragma once
#include "kernels/attention.h"

namespace tw::cuda {
bool has_mma_attention(ConstView qkv);
void mma_attention_forward(const AttentionForward& op, const Stream& stream);
void mma_attention_backward(const AttentionBackward& op, const Stream& stream);
}  // namespace tw::cuda
