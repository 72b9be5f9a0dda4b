// Products of small blocks that lie in the caches, of fp32 or of pairs of bf16, summed in fp32: C (+)= op(A) B.
// Register tile of kTileRows x 2 vectors: every B vector loaded serves kTileRows products and every
// A element is broadcast straight from memory (Goto & van de Geijn 2008, "Anatomy of
// high-performance matrix multiplication", section 4).
#pragma once
#include <bit>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/vector.h"

TW_SIMD_BEGIN

// Accumulators fill most of the 16 (v1, v3) or 32 (v4) registers.
inline constexpr int kTileRows = TW_SIMD_LEVEL == 4 ? 12 : 6;

// Elements of A and B: a float, or two bf16 that follow each other in K (the first in the low
// half).
struct Bf16Pair {
  uint32_t bits = 0;
};
// What bf16 operands become: pairs where an instruction multiplies them.
#if defined(TW_SIMD_BF16)
using Bf16Element = Bf16Pair;
#else
using Bf16Element = float;
#endif
// The values of K in one element.
template <class E>
inline constexpr int64_t kUnit = std::is_same_v<E, float> ? 1 : 2;

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

// The rows that a tile takes of those that are left.
TW_INLINE int tile_rows(int64_t left) { return left >= kTileRows ? kTileRows : left >= 4 ? 4 : left >= 2 ? 2 : 1; }

template <int V, bool kAdd, bool kTransA, class E>
TW_INLINE void gemm_rows(int rows, int64_t k, const E* a, int64_t lda, const E* b, int64_t ldb, float* c, int64_t ldc) {
  switch (rows) {
    case kTileRows: return gemm_tile<kTileRows, V, kAdd, kTransA>(k, a, lda, b, ldb, c, ldc);
    case 4: return gemm_tile<4, V, kAdd, kTransA>(k, a, lda, b, ldb, c, ldc);
    case 2: return gemm_tile<2, V, kAdd, kTransA>(k, a, lda, b, ldb, c, ldc);
    default: return gemm_tile<1, V, kAdd, kTransA>(k, a, lda, b, ldb, c, ldc);
  }
}

// What a causal mask lets a product skip. A block of scores has a row for each key and a column for each query; row i
// is seen by the columns j >= i + shift.
//   none     the whole product
//   scores   C is the block of scores: tiles that no query sees are left unwritten
//   k_begin  A = scores (zero where masked): K of a row of tiles begins at its first query
//   k_end    A = scores^T: K of a row of tiles ends at the last key its queries see
enum class Causal { none, scores, k_begin, k_end };

// V vectors of columns of gemm_block, from column j of C on.
template <int V, bool kAdd, bool kTransA, Causal kCausal, class E>
void gemm_columns(int64_t m, int64_t k, const E* a, int64_t lda, const E* b, int64_t ldb, float* c,
                  int64_t ldc, int64_t shift, int64_t j) {
  if (kCausal == Causal::scores && j + V * kLanes - shift < m) m = j + V * kLanes - shift;
  for (int64_t i = 0; i < m;) {
    const int rows = tile_rows(m - i);
    int64_t begin = 0, end = k;
    if (kCausal == Causal::k_begin && i + shift > 0) begin = (i + shift) / kUnit<E> < k ? (i + shift) / kUnit<E> : k;
    if (kCausal == Causal::k_end) {
      const int64_t keys = i + rows - shift;
      end = keys <= 0 ? 0 : (keys + kUnit<E> - 1) / kUnit<E> < k ? (keys + kUnit<E> - 1) / kUnit<E> : k;
    }
    gemm_rows<V, kAdd, kTransA>(rows, end - begin, a + (kTransA ? i + begin * lda : i * lda + begin), lda,
                                b + begin * ldb, ldb, c + i * ldc, ldc);
    i += rows;
  }
}

// C (m, n) = A B or += with kAdd, over k elements E; A is (m, k), stored (k, m) with kTransA; B is (k, n). All
// row-major with the given row lengths; n is a multiple of kLanes (pad the blocks).
template <bool kAdd, bool kTransA, Causal kCausal, class E>
void gemm_block(int64_t m, int64_t n, int64_t k, const E* a, int64_t lda, const E* b,
                int64_t ldb, float* c, int64_t ldc, int64_t shift) {
  int64_t j = 0;
  for (; j + 2 * kLanes <= n; j += 2 * kLanes)
    gemm_columns<2, kAdd, kTransA, kCausal>(m, k, a, lda, b + j, ldb, c + j, ldc, shift, j);
  for (; j < n; j += kLanes)
    gemm_columns<1, kAdd, kTransA, kCausal>(m, k, a, lda, b + j, ldb, c + j, ldc, shift, j);
}

TW_SIMD_END
