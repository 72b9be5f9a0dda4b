// Dao 2023, arXiv:2307.08691 sections 3.1 and 3.2, with fp32 multiply-adds. A block is four warps; what a warp keeps in
// registers are kHeld rows of its result, lane l the columns l, l + 32, ...; the other side comes by tiles of up to 32 rows
// through shared memory, a lane a row: it makes that row's score, then all lanes add the tile's rows weighted by them. The
// backward pass runs twice over the tiles, once for dk and dv, once for dq: nothing is added across blocks, so bits depend
// on the shape alone. Floor: 4 D multiply-adds a score forward, 14 D backward, over the rate of fp32.
#include "kernels/cuda/attention_simt.h"

#include "kernels/cuda/attention_delta.h"
#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/context.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = kWarps * kWarp;
constexpr int kTile = 32;      // rows of a tile
constexpr int kWideTile = 16;  // beyond kWide: shared memory ends
constexpr int kWide = 512;
int tile_rows(int64_t D) { return D > kWide ? kWideTile : kTile; }

struct Sizes {
  int T, H, KV, D, tile;
  float scale;
  int64_t token;  // elements from one token's heads to the next's in qkv
};

// Dynamic shared memory: two tiles, then the rows a block holds of two matrices, then a tile of weights a warp, twice.
size_t shared_bytes(int64_t D, int held) {
  const int rows = tile_rows(D);
  return (size_t(2 * rows + 2 * held) * size_t(row_stride(int(D))) + size_t(2 * kWarps * rows)) * sizeof(float);
}
struct Shared {
  float *a, *b, *own_a, *own_b, *weights, *more_weights;
};
__device__ Shared share(const Sizes& s, int held) {
  Shared m;
  m.a = shared_memory<float>();
  m.b = m.a + s.tile * row_stride(s.D);
  m.own_a = m.b + s.tile * row_stride(s.D);
  m.own_b = m.own_a + held * row_stride(s.D);
  const int warp = threadIdx.x / kWarp;
  m.weights = m.own_b + held * row_stride(s.D) + warp * s.tile;
  m.more_weights = m.weights + kWarps * s.tile;
  return m;
}

// Keys a query sees: [first, t].
__device__ bool visible(const int32_t* starts, int t, int u) { return u <= t && (!starts || starts[t] <= u); }

// Grid: (query rows, H, B).
template <class T, int J>
__global__ void forward_kernel(const T* qkv, const int32_t* starts, T* out, float* lse, Sizes s) {
  constexpr int R = kHeld<J>, kRows = R * kWarps;
  const Shared m = share(s, kRows);
  const int h = blockIdx.y, b = blockIdx.z, t0 = blockIdx.x * kRows, warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const T* row = qkv + b * s.T * s.token;
  if (starts) starts += int64_t(b) * s.T;
  const T *keys = row + (s.H + h / (s.H / s.KV)) * s.D, *values = keys + s.KV * s.D;
  load_rows(m.own_a, row + t0 * s.token + h * s.D, s.token, kRows, s.T - t0, s.D);
  float acc[R][J] = {}, high[R], sum[R];
  for (int r = 0; r < R; ++r) high[r] = -INFINITY, sum[r] = 0;
  const int last = t0 + kRows < s.T ? t0 + kRows : s.T;
  for (int u0 = (starts ? starts[t0] : 0) / s.tile * s.tile; u0 < last; u0 += s.tile) {
    __syncthreads();
    load_rows(m.a, keys + u0 * s.token, s.token, s.tile, s.T - u0, s.D);
    load_rows(m.b, values + u0 * s.token, s.token, s.tile, s.T - u0, s.D);
    __syncthreads();
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const int t = t0 + warp * R + r, u = u0 + lane;
      float score = -INFINITY;
      if (t < s.T && lane < s.tile && u < s.T && visible(starts, t, u))
        score = s.scale * dot(m.own_a + (warp * R + r) * row_stride(s.D), m.a + lane * row_stride(s.D), s.D);
      const float top = fmaxf(high[r], warp_max(score));
      if (top == -INFINITY) continue;  // for the whole warp
      const float p = expf(score - top), shrink = expf(high[r] - top);
      sum[r] = sum[r] * shrink + warp_sum(p);
      high[r] = top;
      if (lane < s.tile) m.weights[lane] = p;
      __syncwarp();
#pragma unroll
      for (int j = 0; j < J; ++j) acc[r][j] *= shrink;
      add_weighted(acc[r], m.weights, m.b, s.tile, s.D);
      __syncwarp();
    }
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int t = t0 + warp * R + r;
    if (t >= s.T) continue;
    store_row(out + ((int64_t(b) * s.T + t) * s.H + h) * s.D, acc[r], 1.f / sum[r], s.D);
    if (lane == 0) lse[(int64_t(b) * s.H + h) * s.T + t] = high[r] + logf(sum[r]);
  }
}

// Grid: (key rows, KV, B). p = exp(s - lse), ds = p (dp - delta) scale; dv = sum p dout, dk = sum ds q over the heads of the
// group, one behind the other.
template <class T, int J>
__global__ void key_value_kernel(const T* qkv, const int32_t* starts, const T* dout, const float* lse, const float* delta, T* dqkv, Sizes s) {
  constexpr int R = kHeld<J>, kRows = R * kWarps;
  const Shared m = share(s, kRows);
  const int kv = blockIdx.y, b = blockIdx.z, u0 = blockIdx.x * kRows, warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int group = s.H / s.KV, k_at = (s.H + kv) * s.D, v_at = (s.H + s.KV + kv) * s.D;
  const T* row = qkv + b * s.T * s.token;
  if (starts) starts += int64_t(b) * s.T;
  load_rows(m.own_a, row + u0 * s.token + k_at, s.token, kRows, s.T - u0, s.D);
  load_rows(m.own_b, row + u0 * s.token + v_at, s.token, kRows, s.T - u0, s.D);
  float dk[R][J] = {}, dv[R][J] = {};
  for (int h = kv * group; h < (kv + 1) * group; ++h) {
    const float *l = lse + (int64_t(b) * s.H + h) * s.T, *e = delta + (int64_t(b) * s.H + h) * s.T;
    for (int t0 = u0 / s.tile * s.tile; t0 < s.T && (!starts || starts[t0] < u0 + kRows); t0 += s.tile) {
      __syncthreads();
      load_rows(m.a, row + t0 * s.token + h * s.D, s.token, s.tile, s.T - t0, s.D);
      load_rows(m.b, dout + ((int64_t(b) * s.T + t0) * s.H + h) * s.D, int64_t(s.H) * s.D, s.tile, s.T - t0, s.D);
      __syncthreads();
#pragma unroll
      for (int r = 0; r < R; ++r) {
        const int u = u0 + warp * R + r, t = t0 + lane;
        float p = 0, ds = 0;
        if (u < s.T && lane < s.tile && t < s.T && visible(starts, t, u)) {
          const int own = (warp * R + r) * row_stride(s.D), other = lane * row_stride(s.D);
          p = expf(s.scale * dot(m.own_a + own, m.a + other, s.D) - l[t]);
          ds = p * (dot(m.own_b + own, m.b + other, s.D) - e[t]) * s.scale;
        }
        if (lane < s.tile) m.weights[lane] = p, m.more_weights[lane] = ds;
        __syncwarp();
        add_weighted(dv[r], m.weights, m.b, s.tile, s.D);
        add_weighted(dk[r], m.more_weights, m.a, s.tile, s.D);
        __syncwarp();
      }
    }
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int u = u0 + warp * R + r;
    if (u >= s.T) continue;
    T* to = dqkv + (int64_t(b) * s.T + u) * s.token;
    store_row(to + k_at, dk[r], 1.f, s.D);
    store_row(to + v_at, dv[r], 1.f, s.D);
  }
}

// Grid: (query rows, H, B). dq = sum ds k.
template <class T, int J>
__global__ void query_kernel(const T* qkv, const int32_t* starts, const T* dout, const float* lse, const float* delta, T* dqkv, Sizes s) {
  constexpr int R = kHeld<J>, kRows = R * kWarps;
  const Shared m = share(s, kRows);
  const int h = blockIdx.y, b = blockIdx.z, t0 = blockIdx.x * kRows, warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const T* row = qkv + b * s.T * s.token;
  if (starts) starts += int64_t(b) * s.T;
  const T *keys = row + (s.H + h / (s.H / s.KV)) * s.D, *values = keys + s.KV * s.D;
  const float *l = lse + (int64_t(b) * s.H + h) * s.T, *e = delta + (int64_t(b) * s.H + h) * s.T;
  load_rows(m.own_a, row + t0 * s.token + h * s.D, s.token, kRows, s.T - t0, s.D);
  load_rows(m.own_b, dout + ((int64_t(b) * s.T + t0) * s.H + h) * s.D, int64_t(s.H) * s.D, kRows, s.T - t0, s.D);
  float dq[R][J] = {};
  const int last = t0 + kRows < s.T ? t0 + kRows : s.T;
  for (int u0 = (starts ? starts[t0] : 0) / s.tile * s.tile; u0 < last; u0 += s.tile) {
    __syncthreads();
    load_rows(m.a, keys + u0 * s.token, s.token, s.tile, s.T - u0, s.D);
    load_rows(m.b, values + u0 * s.token, s.token, s.tile, s.T - u0, s.D);
    __syncthreads();
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const int t = t0 + warp * R + r, u = u0 + lane;
      float ds = 0;
      if (t < s.T && lane < s.tile && u < s.T && visible(starts, t, u)) {
        const int own = (warp * R + r) * row_stride(s.D), other = lane * row_stride(s.D);
        const float p = expf(s.scale * dot(m.own_a + own, m.a + other, s.D) - l[t]);
        ds = p * (dot(m.own_b + own, m.b + other, s.D) - e[t]) * s.scale;
      }
      if (lane < s.tile) m.weights[lane] = ds;
      __syncwarp();
      add_weighted(dq[r], m.weights, m.a, s.tile, s.D);
      __syncwarp();
    }
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const int t = t0 + warp * R + r;
    if (t < s.T) store_row(dqkv + (int64_t(b) * s.T + t) * s.token + h * s.D, dq[r], 1.f, s.D);
  }
}

template <class Op>
Sizes sizes_of(const Op& op) {
  const int64_t D = op.qkv.dim(3);
  return {int(op.qkv.dim(1)), int(op.heads), int(op.kv_heads), int(D), tile_rows(D), op.scale, op.qkv.dim(2) * D};
}

}  // namespace

void simt_attention_forward(const AttentionForward& op, const Stream& stream) {
  const Sizes s = sizes_of(op);
  with_activation(op.qkv.dtype, [&](auto t) {
    with_width(s.D, [&]<int J>() {
      using T = decltype(t);
      constexpr int kRows = kHeld<J> * kWarps;
      launch(forward_kernel<T, J>, {.blocks = blocks_for(s.T, kRows), .threads = kThreads, .shared = shared_bytes(s.D, kRows), .blocks_y = s.H, .blocks_z = op.qkv.dim(0)},
             stream, op.qkv.as<T>(), op.starts ? op.starts.as<int32_t>() : nullptr, op.out.as<T>(), op.lse.as<float>(), s);
    });
  });
}

void simt_attention_backward(const AttentionBackward& op, const Stream& stream) {
  const Sizes s = sizes_of(op);
  const int64_t B = op.qkv.dim(0), rows = B * s.T * s.H;
  float* delta = context_of(stream).scratch<float>(size_t(rows));
  attention_delta(op, delta, stream);
  const int32_t* starts = op.starts ? op.starts.as<int32_t>() : nullptr;
  with_activation(op.qkv.dtype, [&](auto t) {
    with_width(s.D, [&]<int J>() {
      using T = decltype(t);
      constexpr int kRows = kHeld<J> * kWarps;
      launch(key_value_kernel<T, J>, {.blocks = blocks_for(s.T, kRows), .threads = kThreads, .shared = shared_bytes(s.D, kRows), .blocks_y = s.KV, .blocks_z = B},
             stream, op.qkv.as<T>(), starts, op.dout.as<T>(), op.lse.as<float>(), delta, op.dqkv.as<T>(), s);
      launch(query_kernel<T, J>, {.blocks = blocks_for(s.T, kRows), .threads = kThreads, .shared = shared_bytes(s.D, kRows), .blocks_y = s.H, .blocks_z = B},
             stream, op.qkv.as<T>(), starts, op.dout.as<T>(), op.lse.as<float>(), delta, op.dqkv.as<T>(), s);
    });
  });
}

}  // namespace tw::cuda
