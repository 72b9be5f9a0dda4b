// A row is a block of 1024 threads. The first pass keeps a running maximum and sum a thread (Milakov & Gimelshein 2018,
// arXiv:1805.02867), the second writes softmax - one-hot in place; rows in flight lie in L2 between the two. From memory:
// V elements read and written a row; floor: those bytes over the memory's bandwidth.
#include "kernels/loss.h"

#include "kernels/cuda/block.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = 1024;

template <class T>
__global__ void __launch_bounds__(kThreads) cross_entropy_kernel(T* logits, const int32_t* targets, float* losses, int64_t vocab, int64_t padded, bool gradient,
                                     bool whole) {
  float* scratch = shared_memory<float>();
  const int64_t n = blockIdx.x;
  T* row = logits + n * padded;
  const int32_t target = targets[n];
  const bool counted = target >= 0 && target < vocab;
  if (!counted) {
    // Ignored, or (a fault of the caller that a device cannot throw) NaN.
    if (threadIdx.x == 0) losses[n] = target == kIgnoredTarget ? 0.f : nanf("");
    if (gradient)
      for (int64_t c = int64_t(threadIdx.x) * kPack; c < padded; c += kThreads * kPack) store_some(row + c, Pack<kPack>{}, padded - c, whole);
    return;
  }
  const float at_target = to_float(row[target]);
  float high = -INFINITY, sum = 0;
  for (int64_t c = int64_t(threadIdx.x) * kPack; c < vocab; c += kThreads * kPack) {
    Pack<kPack> x;
    load_some(x, row + c, padded - c, whole);
    float top = high;
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      if (c + j >= vocab) x.v[j] = -INFINITY;
      top = fmaxf(top, x.v[j]);
    }
    const float shift = top == -INFINITY ? 0.f : top;
    if (top > high) sum *= expf(high - shift), high = top;
#pragma unroll
    for (int j = 0; j < kPack; ++j) sum += expf(x.v[j] - shift);  // NaN stays NaN
  }
  const float most = block_max(high, scratch);
  const float shift = most == -INFINITY ? 0.f : most;
  const float total = block_sum(sum * expf((high == -INFINITY ? shift : high) - shift), scratch);
  // The difference of the two large numbers first: it is exact where the target is near the top.
  const float loss = logf(total) + (most - at_target);
  if (threadIdx.x == 0) losses[n] = loss;
  if (!gradient) return;
  const float factor = 1.f / total;
  for (int64_t c = int64_t(threadIdx.x) * kPack; c < padded; c += kThreads * kPack) {
    Pack<kPack> x;
    load_some(x, row + c, padded - c, whole);
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      x.v[j] = c + j < vocab ? expf(x.v[j] - shift) * factor : 0.f;
      if (c + j == target) x.v[j] = expm1f(-loss);  // in bf16 a rounded probability near 1 would leave nothing
    }
    store_some(row + c, x, padded - c, whole);
  }
}

}  // namespace

void cross_entropy(const CrossEntropy& op, const Stream& stream) {
  const int64_t N = op.logits.dim(0), padded = op.logits.dim(1);
  const bool whole = all_aligned({op.logits.data}) && padded % kPack == 0;
  with_activation(op.logits.dtype, [&](auto t) {
    using T = decltype(t);
    launch(cross_entropy_kernel<T>, {.blocks = N, .threads = kThreads, .shared = kWarp * sizeof(float)}, stream, op.logits.as<T>(),
           op.targets.as<int32_t>(), op.losses.as<float>(), op.vocab, padded, op.gradient, whole);
  });
}

}  // namespace tw::cuda
