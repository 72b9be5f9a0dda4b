// Products of small row-major fp32 blocks that lie in the caches: C (+)= op(A) B.
// Register tile of kTileRows x 2 vectors: every B vector loaded serves kTileRows products and every
// A element is broadcast straight from memory (Goto & van de Geijn 2008, "Anatomy of
// high-performance matrix multiplication", section 4, without packing since the blocks are dense
// already).
#pragma once
#if defined(TW_SIMD_BF16)
#include <immintrin.h>
#endif

#include <bit>
#include <cstdint>

#include "kernels/cpu/vector.h"

TW_SIMD_BEGIN

// Accumulators fill most of the 16 (v1, v3) or 32 (v4) registers.
inline constexpr int kTileRows = TW_SIMD_LEVEL == 4 ? 12 : 6;

// What a causal mask lets a product skip. Row i of the score block sees keys j <= i + shift.
//   none     the whole product
//   columns  C is the score block: rows that see none of a tile's columns are left unwritten
//   k_end    A = scores (zero where masked): K of a row of tiles ends at its last visible key
//   k_begin  A = scores^T: K of a row of tiles begins at the first query that sees the keys
enum class Causal { none, columns, k_end, k_begin };

// Elements of A and B: a float, or two bf16 that follow each other in K (the first in the low
// half).
struct Bf16Pair {
  uint32_t bits = 0;
};
TW_INLINE Vf multiply_add(Vf sum, float a, const float* b) { return sum + fill(a) * load(b); }
TW_INLINE Vf multiply_add(Vf sum, Bf16Pair a, const Bf16Pair* b) {
  Vu pairs;
  std::memcpy(&pairs, b, sizeof pairs);
#if defined(TW_SIMD_BF16)
  return (Vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)(Vu{} + a.bits), (__m512bh)pairs);
#else
  const Vu high = Vu{} + 0xffff0000u;
  sum += (Vf)((pairs & high)) * fill(std::bit_cast<float>(a.bits & 0xffff0000u));
  return sum + (Vf)(pairs << 16) * fill(std::bit_cast<float>(a.bits << 16));
#endif
}

template <int R, int V, bool kAdd, bool kTransA, class E>
TW_INLINE void gemm_tile(int64_t k, const E* a, int64_t lda, const E* b, int64_t ldb, float* c,
                         int64_t ldc) {
  Vf sum[R][V] = {};
  if (kAdd) {  // C may be far away; it is added last
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) __builtin_prefetch(c + r * ldc, 1);
  }
  for (int64_t p = 0; p < k; ++p) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const E x = kTransA ? a[p * lda + r] : a[r * lda + p];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sum[r][v] = multiply_add(sum[r][v], x, b + p * ldb + v * kLanes);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      float* to = c + r * ldc + v * kLanes;
      store(to, kAdd ? load(to) + sum[r][v] : sum[r][v]);
    }
  }
}

template <int V, bool kAdd, bool kTransA, Causal kCausal, class E>
void gemm_columns(int64_t m, int64_t k, const E* a, int64_t lda, const E* b, int64_t ldb, float* c,
                  int64_t ldc, int64_t shift, int64_t j) {
  int64_t i = 0;
  if (kCausal == Causal::columns && j > shift) i = (j - shift) / kTileRows * kTileRows;
  while (i < m) {
    const int64_t left = m - i;
    const int rows = left >= kTileRows ? kTileRows : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    int64_t begin = 0, end = k;
    if (kCausal == Causal::k_end && i + rows + shift < k)
      end = i + rows + shift > 0 ? i + rows + shift : 0;
    if (kCausal == Causal::k_begin && i > shift) begin = i - shift < k ? i - shift : k;
    const E* at = a + (kTransA ? i + begin * lda : i * lda + begin);
    const E* bt = b + begin * ldb;
    float* ct = c + i * ldc;
    switch (rows) {
      case kTileRows:
        gemm_tile<kTileRows, V, kAdd, kTransA>(end - begin, at, lda, bt, ldb, ct, ldc);
        break;
      case 4:
        gemm_tile<4, V, kAdd, kTransA>(end - begin, at, lda, bt, ldb, ct, ldc);
        break;
      case 2:
        gemm_tile<2, V, kAdd, kTransA>(end - begin, at, lda, bt, ldb, ct, ldc);
        break;
      default:
        gemm_tile<1, V, kAdd, kTransA>(end - begin, at, lda, bt, ldb, ct, ldc);
    }
    i += rows;
  }
}

// C (m, n) = A B or += with kAdd; A is (m, k), stored (k, m) with kTransA; B is (k, n). All
// row-major with the given row lengths; n is a multiple of kLanes (pad the blocks).
template <bool kAdd, bool kTransA, Causal kCausal>
void gemm_block(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
                int64_t ldb, float* c, int64_t ldc, int64_t shift) {
  int64_t j = 0;
  for (; j + 2 * kLanes <= n; j += 2 * kLanes) {
    gemm_columns<2, kAdd, kTransA, kCausal>(m, k, a, lda, b + j, ldb, c + j, ldc, shift, j);
  }
  for (; j < n; j += kLanes) {
    gemm_columns<1, kAdd, kTransA, kCausal>(m, k, a, lda, b + j, ldb, c + j, ldc, shift, j);
  }
}

TW_SIMD_END
