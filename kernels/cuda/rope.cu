// A thread: eight dimensions of the first half of a head and their partners in the second, 16 bytes at a time. Reads and writes
// the q and k heads once: floor, twice their bytes over the memory's bandwidth; the table stays in cache.
#include "kernels/rope.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void rope_kernel(T* qkv, const float* cos_table, const float* sin_table, int64_t tokens, int64_t length, int turned, int heads,
                            int D, float sign, bool whole) {
  const int half = D / 2, groups = (half + kPack - 1) / kPack;
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t token = i / (int64_t(turned) * groups);
  if (token >= tokens) return;
  const int head = int(i / groups % turned), first = int(i % groups) * kPack, there = half - first;
  T* x = qkv + (token * heads + head) * D + first;
  const int64_t at = token % length * half + first;
  Pack<kPack> a, b, c, s;
  load_some(a, x, there, whole);
  load_some(b, x + half, there, whole);
  load_some(c, cos_table + at, there, whole);
  load_some(s, sin_table + at, there, whole);
#pragma unroll
  for (int j = 0; j < kPack; ++j) {
    const float u = a.v[j], v = b.v[j], turn = sign * s.v[j];
    a.v[j] = u * c.v[j] - v * turn;
    b.v[j] = v * c.v[j] + u * turn;
  }
  store_some(x, a, there, whole);
  store_some(x + half, b, there, whole);
}

}  // namespace

void rope(const Rope& op, const Stream& stream) {
  const int64_t tokens = op.qkv.dim(0) * op.qkv.dim(1), D = op.qkv.dim(3), turned = op.heads + op.kv_heads;
  const bool whole = D / 2 % kPack == 0 && all_aligned({op.qkv.data, op.cos.data, op.sin.data});
  with_activation(op.qkv.dtype, [&](auto t) {
    using T = decltype(t);
    launch(rope_kernel<T>, {.blocks = blocks_for(tokens * turned * blocks_for(D / 2, kPack), kThreads), .threads = kThreads}, stream,
           op.qkv.as<T>(), op.cos.as<float>(), op.sin.as<float>(), tokens, op.qkv.dim(1), int(turned), int(op.qkv.dim(2)), int(D),
           op.backward ? -1.f : 1.f, whole);
  });
}

}  // namespace tw::cuda
