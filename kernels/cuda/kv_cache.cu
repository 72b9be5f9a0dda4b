// A thread: one element of a new key and its value. The tokens of a step are few; bytes: twice those of the new heads.
#include "kernels/kv_cache.h"

#include "kernels/cuda/launch.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void append_kernel(const T* qkv, T* k_cache, T* v_cache, int64_t count, int64_t fresh, int64_t heads, int64_t kv_heads,
                              int64_t D, int64_t longest, int64_t past) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const int64_t d = i % D, h = i / D % kv_heads, t = i / D / kv_heads % fresh, b = i / D / kv_heads / fresh;
  const T* token = qkv + (b * fresh + t) * (heads + 2 * kv_heads) * D;
  const int64_t to = ((b * kv_heads + h) * longest + past + t) * D + d;
  k_cache[to] = token[(heads + h) * D + d];
  v_cache[to] = token[(heads + kv_heads + h) * D + d];
}

}  // namespace

void kv_cache_append(const KvCacheAppend& op, const Stream& stream) {
  const int64_t B = op.qkv.dim(0), fresh = op.qkv.dim(1), D = op.qkv.dim(3), count = B * fresh * op.kv_heads * D;
  with_activation(op.qkv.dtype, [&](auto t) {
    using T = decltype(t);
    launch(append_kernel<T>, {.blocks = blocks_for(count, kThreads), .threads = kThreads}, stream, op.qkv.as<T>(), op.k_cache.as<T>(),
           op.v_cache.as<T>(), count, fresh, op.heads, op.kv_heads, D, op.k_cache.dim(2), op.past);
  });
}

}  // namespace tw::cuda
