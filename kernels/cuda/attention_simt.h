// Attention without tensor cores: any head size, fp32 or bf16, arithmetic in fp32.
#pragma once
#include "kernels/attention.h"

namespace tw::cuda {
void simt_attention_forward(const AttentionForward& op, const Stream& stream);
void simt_attention_backward(const AttentionBackward& op, const Stream& stream);
}  // namespace tw::cuda
