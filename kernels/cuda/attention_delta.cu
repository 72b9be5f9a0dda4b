#include "kernels/cuda/attention_delta.h"

#include "kernels/cuda/attention_tiles.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = kWarps * kWarp;

// A warp a row of a head. Reads out and dout once: floor, their bytes over the memory's bandwidth.
template <class T>
__global__ void delta_kernel(const T* out, const T* dout, float* delta, int64_t rows, int length, int H, int D) {
  const int64_t row = (int64_t(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  if (row >= rows) return;
  float sum = 0;
  for (int d = threadIdx.x % kWarp; d < D; d += kWarp) sum += to_float(out[row * D + d]) * to_float(dout[row * D + d]);
  sum = warp_sum(sum);
  const int64_t h = row % H, t = row / H % length, b = row / H / length;
  if (threadIdx.x % kWarp == 0) delta[(b * H + h) * length + t] = sum;
}

}  // namespace

void attention_delta(const AttentionBackward& op, float* delta, const Stream& stream) {
  const int64_t rows = op.qkv.dim(0) * op.qkv.dim(1) * op.heads;
  with_activation(op.qkv.dtype, [&](auto t) {
    using T = decltype(t);
    launch(delta_kernel<T>, {.blocks = blocks_for(rows, kWarps), .threads = kThreads}, stream, op.out.as<T>(), op.dout.as<T>(), delta,
           rows, int(op.qkv.dim(1)), int(op.heads), int(op.qkv.dim(3)));
  });
}

}  // namespace tw::cuda
