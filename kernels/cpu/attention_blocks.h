// What the attention kernels share: the rows of one head as blocks for products, elements E = float or Bf16Pair.
// A block of scores has a row for each key and a column for each query, so that what belongs to a query lies in a lane.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cpu/matmul_blocks.h"
#include "kernels/cpu/micro_gemm.h"
#include "kernels/cpu/vector_loop.h"

TW_SIMD_BEGIN

inline constexpr int64_t kQueryBlock = 64, kKeyBlock = 64;
inline constexpr float kLog2E = 1.44269504088896341f;

TW_INLINE int64_t round_up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }

// Two vectors of bf16 as pairs: `first` in the low halves.
TW_INLINE Vu pairs_of(Vf first, Vf second) {
#if defined(TW_SIMD_BF16)
  const auto both = _mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  Vu halves;
  std::memcpy(&halves, &both, sizeof halves);
  typedef uint16_t Halves __attribute__((vector_size(64)));
  Halves order;
#pragma GCC unroll 32
  for (int i = 0; i < 32; ++i) order[i] = uint16_t(i / 2 + i % 2 * 16);
  return (Vu)__builtin_shuffle((Halves)halves, order);
#else
  bf16 a[kLanes], b[kLanes];
  store(a, first), store(b, second);
  return (Vu)load(a) >> 16 | (Vu)load(b);
#endif
}

// dst (rows of n / kUnit elements, ld): n rows of src (D values, `stride` apart), one below the other, as K of a
// product. Zeros in columns D..ld, less than a vector of them, and, where n is odd, in the last pair.
template <class E, class T>
void stack_rows(E* dst, int64_t ld, const T* src, int64_t stride, int64_t n, int64_t D) {
  for (int64_t i = 0; i < n; i += kUnit<E>, dst += ld) {
    const T *first = src + i * stride, *second = i + 1 < n ? first + stride : nullptr;
    for (int64_t d = 0; d < ld; d += kLanes) {
      const Vu v = elements<E>(first, second, d, D);
      std::memcpy(static_cast<void*>(dst + d), &v, sizeof v);
    }
  }
}

// dst (n, ld) = src (n rows of D, `stride` apart), zeros in columns D..ld.
template <class T>
void load_rows(float* dst, int64_t ld, const T* src, int64_t stride, int64_t n, int64_t D, float scale = 1) {
  for (int64_t i = 0; i < n; ++i) {
    int64_t d = 0;
    for (; d + kLanes <= D; d += kLanes)
      store(dst + i * ld + d, load(src + i * stride + d) * scale);
    for (; d < D; ++d) dst[i * ld + d] = float(src[i * stride + d]) * scale;
    for (; d < ld; ++d) dst[i * ld + d] = 0;
  }
}

// dst (n rows of D, `stride` apart) = scale * src (n, ld), rounded to T.
template <class T>
void store_rows(T* dst, int64_t stride, const float* src, int64_t ld, int64_t n, int64_t D,
                float scale = 1) {
  for (int64_t i = 0; i < n; ++i) {
    for_vectors(D, [&](int64_t d, auto part) TW_STEP {
      put(dst + i * stride + d, part, get(src + i * ld + d, part) * scale);
    });
  }
}

// Lane numbers 0, 1, 2, ...
TW_INLINE Vf lane_numbers() {
  Vf v;
  for (int i = 0; i < kLanes; ++i) v[i] = float(i);
  return v;
}

TW_SIMD_END
