// One new token of one head a block of four warps, over a part of the keys; where there are many keys, several blocks share
// them and a second kernel joins what they found. A lane makes the score of a key, then the lanes share the columns of the
// values. Reads the keys and values once for each query head: floor, their bytes over the memory's bandwidth.
#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/context.h"
#include "kernels/attention.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = kWarps * kWarp;
constexpr int64_t kKeysAPart = 256;  // at least

struct Sizes {
  int64_t fresh, longest, past;
  int H, KV, D, parts;
  float scale;
};

// Part p of the keys: found[p] = {maximum, sum, D weighted values}. Grid: (parts, H, B T_new).
template <class T, int J>
__global__ void part_kernel(const T* qkv, const T* k_cache, const T* v_cache, float* found, Sizes s) {
  float* query = shared_memory<float>();           // (D)
  float* weights = query + s.D + threadIdx.x / kWarp * kWarp;
  float* ends = query + s.D + kWarps * kWarp;      // (kWarps, D + 2)
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, h = blockIdx.y;
  const int64_t row = blockIdx.z, b = row / s.fresh, keys = s.past + row % s.fresh + 1;
  const T* q = qkv + (row * (s.H + 2 * s.KV) + h) * s.D;
  for (int d = threadIdx.x; d < s.D; d += kThreads) query[d] = to_float(q[d]);
  __syncthreads();
  const int64_t cache = (b * s.KV + h / (s.H / s.KV)) * s.longest * s.D;
  const int64_t each = (keys + s.parts - 1) / s.parts, begin = blockIdx.x * each, end = begin + each < keys ? begin + each : keys;
  float acc[J] = {}, high = -INFINITY, sum = 0;
  for (int64_t u0 = begin + warp * kWarp; u0 < end; u0 += kThreads) {
    const int64_t u = u0 + lane;
    float score = -INFINITY;
    if (u < end) {
      const T* k = k_cache + cache + u * s.D;
      float total = 0;
      for (int d = 0; d < s.D; ++d) total += query[d] * to_float(k[d]);
      score = total * s.scale;
    }
    const float top = fmaxf(high, warp_max(score)), p = expf(score - top), shrink = expf(high - top);
    sum = sum * shrink + warp_sum(p);
    high = top;
    weights[lane] = p;
    __syncwarp();
#pragma unroll
    for (int j = 0; j < J; ++j) acc[j] *= shrink;
    const int there = end - u0 < kWarp ? int(end - u0) : kWarp;
    for (int r = 0; r < there; ++r) {
      const T* v = v_cache + cache + (u0 + r) * s.D;
#pragma unroll
      for (int j = 0; j < J; ++j)
        if (lane + kWarp * j < s.D) acc[j] += weights[r] * to_float(v[lane + kWarp * j]);
    }
    __syncwarp();
  }
  float* mine = ends + warp * (s.D + 2);
  if (lane == 0) mine[0] = high, mine[1] = sum;
#pragma unroll
  for (int j = 0; j < J; ++j)
    if (lane + kWarp * j < s.D) mine[2 + lane + kWarp * j] = acc[j];
  __syncthreads();
  float top = -INFINITY;
  for (int w = 0; w < kWarps; ++w) top = fmaxf(top, ends[w * (s.D + 2)]);
  float* to = found + ((row * s.H + h) * s.parts + blockIdx.x) * (s.D + 2);
  for (int i = threadIdx.x; i < s.D + 1; i += kThreads) {
    float total = 0;
    for (int w = 0; w < kWarps; ++w) {
      const float* of = ends + w * (s.D + 2);
      if (of[0] != -INFINITY) total += expf(of[0] - top) * of[1 + i];
    }
    to[1 + i] = total;
  }
  if (threadIdx.x == 0) to[0] = top;
}

// Grid: (B T_new H). A thread a column.
template <class T>
__global__ void join_kernel(const float* found, T* out, Sizes s) {
  const float* from = found + int64_t(blockIdx.x) * s.parts * (s.D + 2);
  float top = -INFINITY;
  for (int p = 0; p < s.parts; ++p) top = fmaxf(top, from[p * (s.D + 2)]);
  for (int d = threadIdx.x; d < s.D; d += blockDim.x) {
    float sum = 0, total = 0;
    for (int p = 0; p < s.parts; ++p) {
      const float* of = from + p * (s.D + 2);
      if (of[0] == -INFINITY) continue;
      const float factor = expf(of[0] - top);
      sum += factor * of[1], total += factor * of[2 + d];
    }
    store(out + int64_t(blockIdx.x) * s.D + d, total / sum);
  }
}

}  // namespace

void attention_decode(const AttentionDecode& op, const Stream& stream) {
  const int64_t rows = op.qkv.dim(0) * op.qkv.dim(1), D = op.qkv.dim(3), keys = op.past + op.qkv.dim(1);
  const int64_t room = int64_t(Context::kScratch / sizeof(float)) / (rows * op.heads * (D + 2));
  const Sizes s{op.qkv.dim(1), op.k_cache.dim(2), op.past, int(op.heads), int(op.kv_heads), int(D),
                int(std::clamp<int64_t>(keys / kKeysAPart, 1, std::clamp<int64_t>(room, 1, 64))), op.scale};
  float* found = context_of(stream).scratch<float>(size_t(rows * op.heads * s.parts * (D + 2)));
  const size_t shared = size_t(D + kWarps * kWarp + kWarps * (D + 2)) * sizeof(float);
  with_activation(op.qkv.dtype, [&](auto t) {
    with_width(D, [&]<int J>() {
      using T = decltype(t);
      launch(part_kernel<T, J>, {.blocks = s.parts, .threads = kThreads, .shared = shared, .blocks_y = s.H, .blocks_z = rows}, stream,
             op.qkv.as<T>(), op.k_cache.as<T>(), op.v_cache.as<T>(), found, s);
    });
    using T = decltype(t);
    launch(join_kernel<T>, {.blocks = rows * s.H, .threads = 128}, stream, found, op.out.as<T>(), s);
  });
}

}  // namespace tw::cuda
