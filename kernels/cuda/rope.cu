// A thread: four dimensions of the first half of a head and their partners in the second. Reads and writes the q and k heads
// once: floor, twice their bytes over the memory's bandwidth; the table stays in cache.
#include "kernels/rope.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = 256, kEach = 4;

template <class T>
__global__ void rope_kernel(T* qkv, const float* cos, const float* sin, int64_t tokens, int64_t length, int turned, int heads, int D,
                            float sign) {
  const int half = D / 2, groups = (half + kEach - 1) / kEach;
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t token = i / (int64_t(turned) * groups);
  if (token >= tokens) return;
  const int head = int(i / groups % turned), first = int(i % groups) * kEach;
  T* x = qkv + (token * heads + head) * D;
  const int64_t at = token % length * half;
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int d = first + j;
    if (d >= half) break;
    const float a = to_float(x[d]), b = to_float(x[d + half]), c = cos[at + d], s = sign * sin[at + d];
    store(x + d, a * c - b * s);
    store(x + d + half, b * c + a * s);
  }
}

}  // namespace

void rope(const Rope& op, const Stream& stream) {
  const int64_t tokens = op.qkv.dim(0) * op.qkv.dim(1), D = op.qkv.dim(3), turned = op.heads + op.kv_heads;
  with_activation(op.qkv.dtype, [&](auto t) {
    using T = decltype(t);
    launch(rope_kernel<T>, {.blocks = blocks_for(tokens * turned * blocks_for(D / 2, kEach), kThreads), .threads = kThreads}, stream,
           op.qkv.as<T>(), op.cos.as<float>(), op.sin.as<float>(), tokens, op.qkv.dim(1), int(turned), int(op.qkv.dim(2)), int(D),
           op.backward ? -1.f : 1.f);
  });
}

}  // namespace tw::cuda
