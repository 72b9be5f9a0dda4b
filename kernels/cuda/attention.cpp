#include "kernels/attention.h"

#include "kernels/cuda/attention_choice.h"
#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_simt.h"
#include "kernels/cuda/context.h"

namespace tw::cuda {
namespace {

// null where our own kernels take it.
CudnnAttention* cudnn_for(ConstView qkv, ConstView starts, const Stream& stream) {
  if (!CudnnAttention::takes(qkv, starts)) return nullptr;
  return context_of(stream).attention(qkv.dim(3), stream).cudnn();
}

}  // namespace

void attention_forward(const AttentionForward& op, const Stream& stream) {
  if (CudnnAttention* cudnn = cudnn_for(op.qkv, op.starts, stream)) cudnn->forward(op, stream);
  else if (has_mma_attention(op.qkv)) mma_attention_forward(op, stream);
  else simt_attention_forward(op, stream);
}

void attention_backward(const AttentionBackward& op, const Stream& stream) {
  if (CudnnAttention* cudnn = cudnn_for(op.qkv, op.starts, stream)) cudnn->backward(op, stream);
  else if (has_mma_attention(op.qkv)) mma_attention_backward(op, stream);
  else simt_attention_backward(op, stream);
}

}  // namespace tw::cuda
