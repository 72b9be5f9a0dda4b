// Packing for the blocked matrix product: Goto & van de Geijn 2008, "Anatomy of high-performance
// matrix multiplication", section 5.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/micro_gemm.h"

TW_SIMD_BEGIN

inline constexpr int64_t kPanel = 2 * kLanes;  // columns of a packed panel of B
inline constexpr int64_t kDepth =
    TW_SIMD_LEVEL == 4 ? 192 : 256;    // K of a block: a panel fills half of L1
inline constexpr int64_t kRows = 192;  // rows of an A block: kRows x kDepth in L2
static_assert(kRows % kTileRows == 0);

TW_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The K values in one packed element: 1 as fp32, 2 as a pair of bf16.
template <class E>
inline constexpr int64_t kUnit = std::is_same_v<E, float> ? 1 : 2;

TW_INLINE Bf16Pair pair(bf16 first, bf16 second) {
  return {uint32_t(first.bits) | uint32_t(second.bits) << 16};
}

// Element p of a row of src as packed: values 2p and 2p + 1, zero beyond k.
template <class E, class T>
TW_INLINE E element(const T* src, int64_t stride, int64_t p, int64_t k) {
  if constexpr (kUnit<E> == 1)
    return float(src[p * stride]);
  else
    return pair(src[2 * p * stride], 2 * p + 1 < k ? src[(2 * p + 1) * stride] : bf16());
}

// A is (M, K): dst (rows, ld) = k values of `rows` rows.
template <class T>
TW_INLINE void pack_rows(float* dst, int64_t ld, const T* src, int64_t stride, int64_t rows,
                         int64_t k) {
  for (int64_t i = 0; i < rows; ++i) {
    int64_t p = 0;
    for (; p + kLanes <= k; p += kLanes) store(dst + i * ld + p, load(src + i * stride + p));
    for (; p < k; ++p) dst[i * ld + p] = float(src[i * stride + p]);
  }
}
TW_INLINE void pack_rows(Bf16Pair* dst, int64_t ld, const bf16* src, int64_t stride, int64_t rows,
                         int64_t k) {
  for (int64_t i = 0; i < rows; ++i) {
    std::memcpy(static_cast<void*>(dst + i * ld), src + i * stride,
                size_t(k / 2) * sizeof(Bf16Pair));
    if (k % 2) dst[i * ld + k / 2] = pair(src[i * stride + k - 1], bf16());
  }
}

// A is (K, M): for every kTileRows columns of src a strip (k, kTileRows), one after the other.
TW_INLINE void pack_strips(Bf16Pair* dst, const bf16* src, int64_t stride, int64_t k, int64_t columns) {
  const int64_t units = ceil_div(k, 2);
  for (int64_t p = 0; p < units; ++p, src += 2 * stride, dst += kTileRows) {
    const bool whole = 2 * p + 1 < k;
    const bf16* next = src + (whole ? stride : 0);
    const uint32_t mask = whole ? 0xffffffffu : 0xffffu;
    Bf16Pair* to = dst;
    int64_t j = 0;
    for (; j + kTileRows <= columns; j += kTileRows, to += units * kTileRows) {
      // Without a condition this becomes a few instructions for all rows of the tile.
#pragma GCC unroll 16
      for (int64_t r = 0; r < kTileRows; ++r) to[r].bits = pair(src[j + r], next[j + r]).bits & mask;
    }
    for (int64_t r = 0; j + r < columns; ++r) to[r].bits = pair(src[j + r], next[j + r]).bits & mask;
  }
}
template <class T>
TW_INLINE void pack_strips(float* dst, const T* src, int64_t stride, int64_t k, int64_t columns) {
  for (int64_t p = 0; p < k; ++p, src += stride, dst += kTileRows) {
    float* to = dst;
    int64_t j = 0;
    for (; j + kTileRows <= columns; j += kTileRows, to += k * kTileRows) {
#pragma GCC unroll 16
      for (int64_t r = 0; r < kTileRows; ++r) to[r] = float(src[j + r]);
    }
    for (int64_t r = 0; j + r < columns; ++r) to[r] = float(src[j + r]);
  }
}

// One panel (units of k, kPanel): columns [0, n) of B, zeros beyond. Value (p, j) of B is at
// b[p * row + j * column]: B is (K, N) with column = 1, or (N, K) with row = 1.
template <class E, class T>
TW_INLINE void pack_panel_of(E* panel, const T* b, int64_t row, int64_t column, int64_t k,
                             int64_t n) {
  for (int64_t p = 0; p < ceil_div(k, kUnit<E>); ++p) {
    if (n == kPanel) {
      for (int64_t j = 0; j < kPanel; ++j)
        panel[p * kPanel + j] = element<E>(b + j * column, row, p, k);
    } else {
      for (int64_t j = 0; j < kPanel; ++j)
        panel[p * kPanel + j] = j < n ? element<E>(b + j * column, row, p, k) : E{};
    }
  }
}
template <class E, class T>
TW_INLINE void pack_panel(E* panel, const T* b, int64_t stride, bool transposed, int64_t k,
                          int64_t n) {
  transposed ? pack_panel_of<E, T>(panel, b, 1, stride, k, n)
             : pack_panel_of<E, T>(panel, b, stride, 1, k, n);
}

TW_SIMD_END
