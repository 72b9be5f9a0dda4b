#include "kernels/attention.h"

#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_simt.h"

namespace tw::cuda {

void attention_forward(const AttentionForward& op, const Stream& stream) {
  if (has_mma_attention(op.qkv)) mma_attention_forward(op, stream);
  else simt_attention_forward(op, stream);
}
void attention_backward(const AttentionBackward& op, const Stream& stream) {
  if (has_mma_attention(op.qkv)) mma_attention_backward(op, stream);
  else simt_attention_backward(op, stream);
}

}  // namespace tw::cuda
