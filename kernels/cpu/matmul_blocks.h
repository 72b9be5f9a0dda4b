// Packing for the blocked matrix product: Goto & van de Geijn 2008, "Anatomy of high-performance
// matrix multiplication", section 5.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cpu/micro_gemm.h"

TW_SIMD_BEGIN

inline constexpr int64_t kPanel = 2 * kLanes;                          // columns of a packed panel of B
inline constexpr int64_t kDepth = TW_SIMD_LEVEL == 4 ? 192 : 256;      // K of a block: a panel fills half of L1
inline constexpr int64_t kRows = 192;                                  // rows of an A block: kRows x kDepth in L2
static_assert(kRows % kTileRows == 0);

TW_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// dst (rows, ld) = fp32 of src (rows of `columns`, `stride` apart).
template <class T>
TW_INLINE void copy_block(float* dst, int64_t ld, const T* src, int64_t stride, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) {
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) store(dst + i * ld + j, load(src + i * stride + j));
    for (; j < columns; ++j) dst[i * ld + j] = float(src[i * stride + j]);
  }
}

// A is (K, M): for every kTileRows columns of src a strip (rows, kTileRows), one after the other.
template <class T>
TW_INLINE void pack_strips(float* dst, const T* src, int64_t stride, int64_t rows, int64_t columns) {
  for (int64_t p = 0; p < rows; ++p) {
    const T* from = src + p * stride;
    float* to = dst + p * kTileRows;
    int64_t j = 0;
    for (; j + kTileRows <= columns; j += kTileRows, to += rows * kTileRows) {
      for (int64_t r = 0; r < kTileRows; ++r) to[r] = float(from[j + r]);
    }
    for (int64_t r = 0; j + r < columns; ++r) to[r] = float(from[j + r]);
  }
}

// One panel (k, kPanel): columns [0, n) of B rows, zeros beyond. B is (K, N) ...
template <class T>
TW_INLINE void pack_panel(float* panel, const T* b, int64_t stride, int64_t k, int64_t n) {
  if (n == kPanel) {
    for (int64_t p = 0; p < k; ++p) {
      store(panel + p * kPanel, load(b + p * stride));
      store(panel + p * kPanel + kLanes, load(b + p * stride + kLanes));
    }
    return;
  }
  for (int64_t p = 0; p < k; ++p) {
    for (int64_t j = 0; j < kPanel; ++j) panel[p * kPanel + j] = j < n ? float(b[p * stride + j]) : 0.0f;
  }
}
// ... or (N, K): rows [0, n) become columns.
template <class T>
TW_INLINE void pack_panel_transposed(float* panel, const T* b, int64_t stride, int64_t k, int64_t n) {
  if (n == kPanel) {
    for (int64_t p = 0; p < k; ++p) {
      for (int64_t j = 0; j < kPanel; ++j) panel[p * kPanel + j] = float(b[j * stride + p]);
    }
    return;
  }
  for (int64_t p = 0; p < k; ++p) {
    for (int64_t j = 0; j < kPanel; ++j) panel[p * kPanel + j] = j < n ? float(b[j * stride + p]) : 0.0f;
  }
}

TW_SIMD_END
