// What the attention kernels share: blocks of rows of one head as dense fp32.
#pragma once
#include <cstdint>

#include "kernels/cpu/micro_gemm.h"
#include "src/core/tensor.h"

TW_SIMD_BEGIN

inline constexpr int64_t kQueryBlock = 64, kKeyBlock = 64;

TW_INLINE int64_t round_up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }

// dst (n, ld) = scale * src (n rows of D, `stride` apart), zeros in columns D..ld.
template <class T>
void load_rows(float* dst, int64_t ld, const T* src, int64_t stride, int64_t n, int64_t D,
               float scale = 1) {
  for (int64_t i = 0; i < n; ++i) {
    int64_t d = 0;
    for (; d + kLanes <= D; d += kLanes)
      store(dst + i * ld + d, load(src + i * stride + d) * scale);
    for (; d < D; ++d) dst[i * ld + d] = float(src[i * stride + d]) * scale;
    for (; d < ld; ++d) dst[i * ld + d] = 0;
  }
}

// dst (D, ld) = src^T, zeros in columns n..ld.
template <class T>
void load_transposed(float* dst, int64_t ld, const T* src, int64_t stride, int64_t n, int64_t D) {
  for (int64_t j0 = 0; j0 < ld; j0 += kLanes) {
    for (int64_t d = 0; d < D; ++d) {
      float* row = dst + d * ld + j0;
      if (j0 + kLanes <= n) {
        for (int j = 0; j < kLanes; ++j) row[j] = float(src[(j0 + j) * stride + d]);
      } else {
        for (int j = 0; j < kLanes; ++j)
          row[j] = j0 + j < n ? float(src[(j0 + j) * stride + d]) : 0.0f;
      }
    }
  }
}

// dst (n rows of D, `stride` apart) = scale * src (n, ld), rounded to T.
template <class T>
void store_rows(T* dst, int64_t stride, const float* src, int64_t ld, int64_t n, int64_t D,
                float scale = 1) {
  for (int64_t i = 0; i < n; ++i) {
    int64_t d = 0;
    for (; d + kLanes <= D; d += kLanes)
      store(dst + i * stride + d, load(src + i * ld + d) * scale);
    for (; d < D; ++d) dst[i * stride + d] = T(src[i * ld + d] * scale);
  }
}

// Lane numbers 0, 1, 2, ...
TW_INLINE Vf lane_numbers() {
  Vf v;
  for (int i = 0; i < kLanes; ++i) v[i] = float(i);
  return v;
}

TW_SIMD_END
