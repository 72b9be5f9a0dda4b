// Dao 2023, arXiv:2307.08691 sections 3.1 and 3.2, with mma.m16n8k16: bf16 operands, fp32 sums. A block is four warps of 16
// rows each: of queries (forward, and dq) or of keys (dk and dv). Tiles of the other side come through shared memory by
// cp.async, the next while this one is used; rows there are 16 bytes longer than a head, so that ldmatrix meets no bank twice.
// The backward pass makes the probabilities twice, once for dk and dv, once for dq, and adds nothing across blocks: bits
// depend on the shape alone. Operations: 4 D a visible score forward, 14 D backward (10 D were there atomics); floor, those
// over the rate of the tensor cores.
#include "kernels/cuda/attention_mma.h"

#include "kernels/cuda/attention_delta.h"
#include "kernels/cuda/block.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp;
constexpr int kRows = 16 * kWarps;  // that a block holds
constexpr float kLog2e = 1.4426950408889634f;

struct Sizes {
  int T, H, KV;
  float scale;
  int64_t token;  // elements from one token's heads to the next's in qkv
};

template <int D>
constexpr int kStride = D + 8;
template <int D>
constexpr size_t tile_bytes(int rows) {
  return size_t(rows) * kStride<D> * sizeof(bf16);
}

// A lane's place in the tiles of mma.m16n8k16: row `row` and the one 8 below, columns `column` and the one right of it.
struct Lane {
  int index, row, column;
  __device__ Lane() : index(threadIdx.x % kWarp), row(index / 4), column(2 * (index % 4)) {}
};

// Rows [0, Rows) of D elements, of which `there` exist (the rest becomes 0), from device to shared memory, under way.
template <int D, int Rows>
__device__ void fetch(bf16* to, const bf16* from, int64_t stride, int there) {
  constexpr int kPieces = D / 8;  // of 16 bytes
  for (int i = threadIdx.x; i < Rows * kPieces; i += kThreads) {
    const int row = i / kPieces, piece = i % kPieces;
    const bool inside = row < there;
    copy_async(to + row * kStride<D> + 8 * piece, from + (inside ? row : 0) * stride + 8 * piece, inside);
  }
}

// a of 16 x 16 at (row, column) of a tile.
template <int D>
__device__ void load_a(uint32_t (&a)[4], const bf16* tile, int row, int column) {
  const int i = threadIdx.x % kWarp;
  load_tiles<false>(a, tile + (row + i % 8 + 8 * (i / 8 % 2)) * kStride<D> + column + 8 * (i / 16));
}
// b of 16 x 16 as two halves {b[0], b[1]}, {b[2], b[3]} of 16 x 8, where row n of the tile is column n of b: for x y^T.
template <int D>
__device__ void load_b_rows(uint32_t (&b)[4], const bf16* tile, int row, int column) {
  const int i = threadIdx.x % kWarp;
  load_tiles<false>(b, tile + (row + i % 8 + 8 * (i / 16)) * kStride<D> + column + 8 * (i / 8 % 2));
}
// The same where rows of the tile are rows of b: for x y.
template <int D>
__device__ void load_b_columns(uint32_t (&b)[4], const bf16* tile, int row, int column) {
  const int i = threadIdx.x % kWarp;
  load_tiles<true>(b, tile + (row + i % 8 + 8 * (i / 8 % 2)) * kStride<D> + column + 8 * (i / 16));
}

// scores[j] += the warp's 16 rows at `row` of x times rows 8 j ... of y, over D columns.
template <int D, int Tiles>
__device__ void multiply_rows(float (&scores)[Tiles][4], const bf16* x, int row, const bf16* y) {
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    uint32_t a[4];
    load_a<D>(a, x, row, k);
#pragma unroll
    for (int j = 0; j < Tiles; j += 2) {
      uint32_t b[4];
      load_b_rows<D>(b, y, 8 * j, k);
      multiply_tiles(scores[j], a, b[0], b[1]);
      multiply_tiles(scores[j + 1], a, b[2], b[3]);
    }
  }
}
// sums (16 x D) += weights (16 x 8 Tiles, rounded to bf16) times the rows of y.
template <int D, int Tiles>
__device__ void add_weighted(float (&sums)[D / 8][4], const float (&weights)[Tiles][4], const bf16* y) {
#pragma unroll
  for (int j = 0; j < Tiles; j += 2) {
    // The layout of results is that of a left operand: two 8-wide results are one 16-wide operand.
    const uint32_t a[4] = {pack_bf16(weights[j][0], weights[j][1]), pack_bf16(weights[j][2], weights[j][3]),
                           pack_bf16(weights[j + 1][0], weights[j + 1][1]), pack_bf16(weights[j + 1][2], weights[j + 1][3])};
#pragma unroll
    for (int d = 0; d < D / 8; d += 2) {
      uint32_t b[4];
      load_b_columns<D>(b, y, 8 * j, 8 * d);
      multiply_tiles(sums[d], a, b[0], b[1]);
      multiply_tiles(sums[d + 1], a, b[2], b[3]);
    }
  }
}
// The warp's rows r and r + 8 times factor[0] and factor[1], where they are inside.
template <int D>
__device__ void store_rows(bf16* to, int64_t stride, const float (&sums)[D / 8][4], const float (&factor)[2], int there) {
  const Lane lane;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = lane.row + 8 * half;
    if (row >= there) continue;
#pragma unroll
    for (int d = 0; d < D / 8; ++d)
      *reinterpret_cast<uint32_t*>(to + row * stride + 8 * d + lane.column) =
          pack_bf16(sums[d][2 * half] * factor[half], sums[d][2 * half + 1] * factor[half]);
  }
}

__device__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}
__device__ float quad_sum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

// Keys and values from u0 into tile `slot` of each.
template <int D, int Keys>
__device__ void fetch_keys(bf16* keys, bf16* values, int slot, const bf16* k, const bf16* v, int u0, const Sizes& s) {
  fetch<D, Keys>(keys + slot * Keys * kStride<D>, k + u0 * s.token, s.token, s.T - u0);
  fetch<D, Keys>(values + slot * Keys * kStride<D>, v + u0 * s.token, s.token, s.T - u0);
}

// Grid: (query rows, H, B). Keys by 64.
template <int D>
__global__ void __launch_bounds__(kThreads) forward_kernel(const bf16* qkv, const int32_t* starts, bf16* out, float* lse, Sizes s) {
  constexpr int kKeys = 64, kTiles = kKeys / 8;
  bf16* queries = shared_memory<bf16>();
  bf16* const keys = queries + kRows * kStride<D>;          // two tiles
  bf16* const values = keys + 2 * kKeys * kStride<D>;       // two tiles
  const Lane lane;
  const int h = blockIdx.y, b = blockIdx.z, warp = threadIdx.x / kWarp;
  const int t0 = (int(gridDim.x) - 1 - int(blockIdx.x)) * kRows;  // the longest rows first
  const bf16* row = qkv + b * s.T * s.token;
  const bf16 *k = row + (s.H + h / (s.H / s.KV)) * D, *v = k + s.KV * D;
  const int32_t* first = starts ? starts + int64_t(b) * s.T : nullptr;
  const int begin = (first ? first[t0] : 0) / kKeys * kKeys, end = t0 + kRows < s.T ? t0 + kRows : s.T;

  fetch<D, kRows>(queries, row + t0 * s.token + h * D, s.token, s.T - t0);
  fetch_keys<D, kKeys>(keys, values, 0, k, v, begin, s);
  commit_copies();

  float sums[D / 8][4] = {}, high[2] = {-INFINITY, -INFINITY}, total[2] = {};
  const int t[2] = {t0 + 16 * warp + lane.row, t0 + 16 * warp + lane.row + 8};
  int from[2];
  for (int half = 0; half < 2; ++half) from[half] = first && t[half] < s.T ? first[t[half]] : 0;
  const float scale = s.scale * kLog2e;
  int slot = 0;
  for (int u0 = begin; u0 < end; u0 += kKeys, slot ^= 1) {
    if (u0 + kKeys < end) fetch_keys<D, kKeys>(keys, values, slot ^ 1, k, v, u0 + kKeys, s);
    commit_copies();
    await_copies<1>();
    __syncthreads();
    float scores[kTiles][4] = {};
    multiply_rows<D, kTiles>(scores, queries, 16 * warp, keys + slot * kKeys * kStride<D>);
    const bool edge = u0 + kKeys > t0 + 16 * warp || first;  // some of the tile is not seen
    if (edge) {
#pragma unroll
      for (int j = 0; j < kTiles; ++j)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int u = u0 + 8 * j + lane.column + i % 2;
          if (u > t[i / 2] || u < from[i / 2]) scores[j][i] = -INFINITY;
        }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = high[half];
#pragma unroll
      for (int j = 0; j < kTiles; ++j) top = fmaxf(top, fmaxf(scores[j][2 * half], scores[j][2 * half + 1]));
      top = quad_max(top);
      const float shift = top == -INFINITY ? 0.f : top * scale;
      const float shrink = fast_exp2(high[half] * scale - shift);  // 0 at first
      float sum = 0;
#pragma unroll
      for (int j = 0; j < kTiles; ++j)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          scores[j][i] = fast_exp2(scores[j][i] * scale - shift);
          sum += scores[j][i];
        }
      total[half] = total[half] * shrink + sum;
      high[half] = top;
#pragma unroll
      for (int d = 0; d < D / 8; ++d) sums[d][2 * half] *= shrink, sums[d][2 * half + 1] *= shrink;
    }
    add_weighted<D, kTiles>(sums, scores, values + slot * kKeys * kStride<D>);
    __syncthreads();
  }
  float factor[2];
  for (int half = 0; half < 2; ++half) {
    total[half] = quad_sum(total[half]);
    factor[half] = 1.f / total[half];
    if (lane.column == 0 && t[half] < s.T)
      lse[(int64_t(b) * s.H + h) * s.T + t[half]] = high[half] * s.scale + logf(total[half]);
  }
  const int mine = t0 + 16 * warp;
  store_rows<D>(out + ((int64_t(b) * s.T + mine) * s.H + h) * D, int64_t(s.H) * D, sums, factor, s.T - mine);
}

// p := probabilities, dp := their scores' gradients, of a tile whose rows or columns are queries. scores and dp as products
// came; query(i), key(i) give the positions of element i of column tile j, row statistics lie in l and e by query.
__device__ void softmax_gradient(float& p, float& dp, bool seen, float l, float e, float scale) {
  p = seen ? fast_exp2(p * (scale * kLog2e) - l * kLog2e) : 0.f;
  dp = p * (dp - e) * scale;
}

// Grid: (key rows, KV, B). Queries by 32, over the heads of the group one behind the other. Transposed: rows are keys.
template <int D>
__global__ void __launch_bounds__(kThreads) key_value_kernel(const bf16* qkv, const int32_t* starts, const bf16* dout, const float* lse,
                                                             const float* delta, bf16* dqkv, Sizes s) {
  constexpr int kQueries = 32, kTiles = kQueries / 8;
  bf16* keys = shared_memory<bf16>();
  bf16* const values = keys + kRows * kStride<D>;
  bf16* const queries = values + kRows * kStride<D>;              // two tiles
  bf16* const gradients = queries + 2 * kQueries * kStride<D>;    // two tiles
  const Lane lane;
  const int kv = blockIdx.y, b = blockIdx.z, u0 = blockIdx.x * kRows, warp = threadIdx.x / kWarp, group = s.H / s.KV;
  const bf16* row = qkv + b * s.T * s.token;
  const int32_t* first = starts ? starts + int64_t(b) * s.T : nullptr;
  fetch<D, kRows>(keys, row + u0 * s.token + (s.H + kv) * D, s.token, s.T - u0);
  fetch<D, kRows>(values, row + u0 * s.token + (s.H + s.KV + kv) * D, s.token, s.T - u0);
  const auto ask = [&](int h, int t0, int slot) {
    fetch<D, kQueries>(queries + slot * kQueries * kStride<D>, row + t0 * s.token + h * D, s.token, s.T - t0);
    fetch<D, kQueries>(gradients + slot * kQueries * kStride<D>, dout + ((int64_t(b) * s.T + t0) * s.H + h) * D, int64_t(s.H) * D, s.T - t0);
  };
  // The last query that sees a key of this block: the end of the last key's document.
  int end = s.T;
  if (first) {
    const int last = u0 + kRows <= s.T ? u0 + kRows - 1 : s.T - 1;
    while (end > u0 && first[end - 1] > last) end -= 1;
  }
  const int tiles = (end - u0 + kQueries - 1) / kQueries, all = tiles * group;
  ask(kv * group, u0, 0);
  commit_copies();
  float dk[D / 8][4] = {}, dv[D / 8][4] = {};
  const int u[2] = {u0 + 16 * warp + lane.row, u0 + 16 * warp + lane.row + 8};
  for (int i = 0; i < all; ++i) {
    const int slot = i & 1, h = kv * group + i / tiles, t0 = u0 + i % tiles * kQueries;
    if (i + 1 < all) ask(kv * group + (i + 1) / tiles, u0 + (i + 1) % tiles * kQueries, slot ^ 1);
    commit_copies();
    await_copies<1>();
    __syncthreads();
    const bf16 *q = queries + slot * kQueries * kStride<D>, *d = gradients + slot * kQueries * kStride<D>;
    float p[kTiles][4] = {}, ds[kTiles][4] = {};
    multiply_rows<D, kTiles>(p, keys, 16 * warp, q);
    multiply_rows<D, kTiles>(ds, values, 16 * warp, d);
    const float *l = lse + (int64_t(b) * s.H + h) * s.T, *e = delta + (int64_t(b) * s.H + h) * s.T;
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int column = 0; column < 2; ++column) {
        const int t = t0 + 8 * j + lane.column + column;
        const bool there = t < s.T;
        const float lt = there ? l[t] : 0.f, et = there ? e[t] : 0.f;
        const int from = there && first ? first[t] : 0;
#pragma unroll
        for (int half = 0; half < 2; ++half)
          softmax_gradient(p[j][2 * half + column], ds[j][2 * half + column], there && u[half] <= t && u[half] >= from, lt, et, s.scale);
      }
    add_weighted<D, kTiles>(dv, p, d);
    add_weighted<D, kTiles>(dk, ds, q);
    __syncthreads();
  }
  const float one[2] = {1.f, 1.f};
  const int mine = u0 + 16 * warp;
  bf16* to = dqkv + (int64_t(b) * s.T + mine) * s.token;
  store_rows<D>(to + (s.H + kv) * D, s.token, dk, one, s.T - mine);
  store_rows<D>(to + (s.H + s.KV + kv) * D, s.token, dv, one, s.T - mine);
}

// Grid: (query rows, H, B). Keys by 32.
template <int D>
__global__ void __launch_bounds__(kThreads) query_kernel(const bf16* qkv, const int32_t* starts, const bf16* dout, const float* lse,
                                                         const float* delta, bf16* dqkv, Sizes s) {
  constexpr int kKeys = 32, kTiles = kKeys / 8;
  bf16* queries = shared_memory<bf16>();
  bf16* const gradients = queries + kRows * kStride<D>;
  bf16* const keys = gradients + kRows * kStride<D>;        // two tiles
  bf16* const values = keys + 2 * kKeys * kStride<D>;       // two tiles
  const Lane lane;
  const int h = blockIdx.y, b = blockIdx.z, warp = threadIdx.x / kWarp;
  const int t0 = (int(gridDim.x) - 1 - int(blockIdx.x)) * kRows;
  const bf16* row = qkv + b * s.T * s.token;
  const bf16 *k = row + (s.H + h / (s.H / s.KV)) * D, *v = k + s.KV * D;
  const int32_t* first = starts ? starts + int64_t(b) * s.T : nullptr;
  const int begin = (first ? first[t0] : 0) / kKeys * kKeys, end = t0 + kRows < s.T ? t0 + kRows : s.T;
  fetch<D, kRows>(queries, row + t0 * s.token + h * D, s.token, s.T - t0);
  fetch<D, kRows>(gradients, dout + ((int64_t(b) * s.T + t0) * s.H + h) * D, int64_t(s.H) * D, s.T - t0);
  fetch_keys<D, kKeys>(keys, values, 0, k, v, begin, s);
  commit_copies();
  float dq[D / 8][4] = {}, l[2], e[2];
  const int t[2] = {t0 + 16 * warp + lane.row, t0 + 16 * warp + lane.row + 8};
  int from[2];
  for (int half = 0; half < 2; ++half) {
    const bool there = t[half] < s.T;
    const int64_t at = (int64_t(b) * s.H + h) * s.T + t[half];
    l[half] = there ? lse[at] : 0.f, e[half] = there ? delta[at] : 0.f;
    from[half] = there && first ? first[t[half]] : 0;
  }
  int slot = 0;
  for (int u0 = begin; u0 < end; u0 += kKeys, slot ^= 1) {
    if (u0 + kKeys < end) fetch_keys<D, kKeys>(keys, values, slot ^ 1, k, v, u0 + kKeys, s);
    commit_copies();
    await_copies<1>();
    __syncthreads();
    float p[kTiles][4] = {}, ds[kTiles][4] = {};
    multiply_rows<D, kTiles>(p, queries, 16 * warp, keys + slot * kKeys * kStride<D>);
    multiply_rows<D, kTiles>(ds, gradients, 16 * warp, values + slot * kKeys * kStride<D>);
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int u = u0 + 8 * j + lane.column + i % 2;
        softmax_gradient(p[j][i], ds[j][i], t[i / 2] < s.T && u <= t[i / 2] && u >= from[i / 2], l[i / 2], e[i / 2], s.scale);
      }
    add_weighted<D, kTiles>(dq, ds, keys + slot * kKeys * kStride<D>);
    __syncthreads();
  }
  const float one[2] = {1.f, 1.f};
  const int mine = t0 + 16 * warp;
  store_rows<D>(dqkv + (int64_t(b) * s.T + mine) * s.token + h * D, s.token, dq, one, s.T - mine);
}

template <class Op>
Sizes sizes_of(const Op& op) {
  return {int(op.qkv.dim(1)), int(op.heads), int(op.kv_heads), op.scale, op.qkv.dim(2) * op.qkv.dim(3)};
}

template <class Body>
void with_head(int64_t D, Body&& body) {
  if (D == 32) body.template operator()<32>();
  else if (D == 64) body.template operator()<64>();
  else if (D == 96) body.template operator()<96>();
  else body.template operator()<128>();
}

}  // namespace

bool has_mma_attention(ConstView qkv) {
  const int64_t D = qkv.dim(3);
  return qkv.dtype == DType::bf16 && (D == 32 || D == 64 || D == 96 || D == 128) && all_aligned({qkv.data});
}

void mma_attention_forward(const AttentionForward& op, const Stream& stream) {
  const Sizes s = sizes_of(op);
  with_head(op.qkv.dim(3), [&]<int D>() {
    launch(forward_kernel<D>, {.blocks = blocks_for(s.T, kRows), .threads = kThreads, .shared = tile_bytes<D>(kRows + 4 * 64), .blocks_y = s.H, .blocks_z = op.qkv.dim(0)},
           stream, op.qkv.as<bf16>(), op.starts ? op.starts.as<int32_t>() : nullptr, op.out.as<bf16>(), op.lse.as<float>(), s);
  });
}

void mma_attention_backward(const AttentionBackward& op, const Stream& stream) {
  const Sizes s = sizes_of(op);
  const int64_t B = op.qkv.dim(0);
  float* delta = context_of(stream).scratch<float>(size_t(B * s.T * s.H));
  attention_delta(op, delta, stream);
  const int32_t* starts = op.starts ? op.starts.as<int32_t>() : nullptr;
  with_head(op.qkv.dim(3), [&]<int D>() {
    const size_t shared = tile_bytes<D>(2 * kRows + 4 * 32);
    launch(key_value_kernel<D>, {.blocks = blocks_for(s.T, kRows), .threads = kThreads, .shared = shared, .blocks_y = s.KV, .blocks_z = B}, stream,
           op.qkv.as<bf16>(), starts, op.dout.as<bf16>(), op.lse.as<float>(), delta, op.dqkv.as<bf16>(), s);
    launch(query_kernel<D>, {.blocks = blocks_for(s.T, kRows), .threads = kThreads, .shared = shared, .blocks_y = s.H, .blocks_z = B}, stream,
           op.qkv.as<bf16>(), starts, op.dout.as<bf16>(), op.lse.as<float>(), delta, op.dqkv.as<bf16>(), s);
  });
}

}  // namespace tw::cuda
