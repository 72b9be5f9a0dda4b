// The ops of a build without CUDA.
#include "kernels/adapter.h"
#include "kernels/attention.h"
#include "kernels/checksum.h"
#include "kernels/conv2d.h"
#include "kernels/embedding.h"
#include "kernels/fill.h"
#include "kernels/kv_cache.h"
#include "kernels/loss.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise.h"
#include "kernels/rope.h"
#include "kernels/sampling.h"
#include "src/core/gpu.h"

#define TW_ABSENT(Op, function)                     \
  void function(const Op&, const Stream&) {         \
    TW_FAIL(config, "[{}] {}", #function, gpu::absence()); \
  }

namespace tw::cuda {

TW_ABSENT(AdapterSpread, adapter_spread)
TW_ABSENT(AdapterGather, adapter_gather)
TW_ABSENT(AttentionForward, attention_forward)
TW_ABSENT(AttentionBackward, attention_backward)
TW_ABSENT(AttentionDecode, attention_decode)
TW_ABSENT(Conv2d, conv2d)
TW_ABSENT(Conv2dTranspose, conv2d_transpose)
TW_ABSENT(Conv2dWeightGradient, conv2d_weight_gradient)
TW_ABSENT(EmbeddingForward, embedding_forward)
TW_ABSENT(EmbeddingBackward, embedding_backward)
TW_ABSENT(Zero, zero)
TW_ABSENT(Checksum, checksum)
TW_ABSENT(PickToken, pick_token)
TW_ABSENT(KvCacheAppend, kv_cache_append)
TW_ABSENT(CrossEntropy, cross_entropy)
TW_ABSENT(MatMul, matmul)
TW_ABSENT(NormForward, norm_forward)
TW_ABSENT(NormBackward, norm_backward)
TW_ABSENT(AdamW, adamw)
TW_ABSENT(RoundByChance, round_by_chance)
TW_ABSENT(SumOfSquares, sum_of_squares)
TW_ABSENT(TreeSum, tree_sum)
TW_ABSENT(GeluForward, gelu_forward)
TW_ABSENT(GeluBackward, gelu_backward)
TW_ABSENT(SwigluForward, swiglu_forward)
TW_ABSENT(SwigluBackward, swiglu_backward)
TW_ABSENT(BiasBackward, bias_backward)
TW_ABSENT(Add, add)
TW_ABSENT(Cast, cast)
TW_ABSENT(Scale, scale)
TW_ABSENT(Rope, rope)

}  // namespace tw::cuda
