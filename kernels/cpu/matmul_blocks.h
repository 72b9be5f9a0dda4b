// Packing for the blocked matrix product: Goto & van de Geijn 2008, "Anatomy of high-performance
// matrix multiplication", section 5. Both operands become slabs (units of K, W): A in strips of
// W = kTileRows, B in panels of W = kPanel.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/micro_gemm.h"

TW_SIMD_BEGIN

inline constexpr int64_t kPanel = 2 * kLanes;                   // columns of a panel of B
inline constexpr int64_t kRows = 96;                            // rows of A an item packs at once
inline constexpr int64_t kDepth = 256;                          // units of K whose panel stays in L1
inline constexpr int64_t kMaxDepth = TW_SIMD_LEVEL == 4 ? 1536 : 768;  // units of K whose rows of A stay in L2
inline constexpr int64_t kOverhang = kLanes;                    // elements a strip is written beyond its end
static_assert(kRows % kTileRows == 0);

TW_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The values of K in one packed element, a unit: 1 as fp32, 2 as a pair of bf16.
template <class E>
inline constexpr int64_t kUnit = std::is_same_v<E, float> ? 1 : 2;

TW_INLINE uint32_t bits_of(float first) { return std::bit_cast<uint32_t>(first); }
TW_INLINE uint32_t bits_of(bf16 first, bf16 second) { return uint32_t(first.bits) | uint32_t(second.bits) << 16; }

// The first kLanes units of a row, or all of its k values and zeros.
template <class E, class T>
TW_INLINE Vu units(const T* src, int64_t k) {
  Vu v = {};
  if (k >= kLanes * kUnit<E>) {
    if constexpr (kUnit<E> == 1) v = (Vu)load(src);
    else std::memcpy(&v, src, sizeof v);
  } else if constexpr (kUnit<E> == 1) {
    for (int64_t p = 0; p < k; ++p) v[p] = bits_of(float(src[p]));
  } else {
    std::memcpy(&v, src, size_t(k) * sizeof(T));
  }
  return v;
}

// Lane j of vector i becomes lane i of vector j: pairs of blocks of 1, 2, 4, ... lanes change places.
template <int kHalf>
TW_INLINE void exchange(Vu (&v)[kLanes]) {
  Vu low, high;
#pragma GCC unroll 16
  for (int l = 0; l < kLanes; ++l) {
    low[l] = uint32_t(l & kHalf ? kLanes + l - kHalf : l);
    high[l] = uint32_t(l & kHalf ? kLanes + l : l + kHalf);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & kHalf) continue;
    const Vu a = v[i], b = v[i | kHalf];
    v[i] = __builtin_shuffle(a, b, low);
    v[i | kHalf] = __builtin_shuffle(a, b, high);
  }
}
TW_INLINE void transpose(Vu (&v)[kLanes]) {
  exchange<1>(v);
  exchange<2>(v);
  if constexpr (kLanes > 4) exchange<4>(v);
  if constexpr (kLanes > 8) exchange<8>(v);
}

// Row j of src (`rows` of them, `stride` apart, k values each) becomes column j of the slab; columns from
// `rows` on are zero. Writes up to kOverhang elements beyond the slab where W is not whole vectors.
template <int W, class E, class T>
TW_INLINE void pack_rows(E* slab, const T* src, int64_t stride, int64_t rows, int64_t k) {
  constexpr int kGroups = (W + kLanes - 1) / kLanes;
  const int64_t count = ceil_div(k, kUnit<E>);
  for (int64_t p = 0; p < count; p += kLanes, src += kLanes * kUnit<E>, k -= kLanes * kUnit<E>) {
    // The last group first: what it writes too much is written again.
#pragma GCC unroll 4
    for (int g = kGroups - 1; g >= 0; --g) {
      Vu v[kLanes] = {};
      const T* row = src + g * kLanes * stride;
      if ((g + 1) * kLanes <= rows || rows == W) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i)
          if (g * kLanes + i < W) v[i] = units<E>(row + i * stride, k);
      } else {
        for (int i = 0; i < kLanes; ++i)
          if (g * kLanes + i < rows) v[i] = units<E>(row + i * stride, k);
      }
      transpose(v);
      E* to = slab + p * W + g * kLanes;
      if (count - p >= kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) std::memcpy(static_cast<void*>(to + i * W), &v[i], sizeof v[i]);
      } else {
        for (int64_t i = 0; i < count - p; ++i) std::memcpy(static_cast<void*>(to + i * W), &v[i], sizeof v[i]);
      }
    }
  }
}

// The same from src (k rows of `columns` values, `stride` apart), whose columns stay columns.
template <int W, class E, class T>
TW_INLINE void pack_columns(E* slab, const T* src, int64_t stride, int64_t columns, int64_t k) {
  for (int64_t p = 0; p < ceil_div(k, kUnit<E>); ++p, src += kUnit<E> * stride, slab += W) {
    const bool whole = kUnit<E> * (p + 1) <= k;
    const T* next = src + (whole ? stride : 0);
    const uint32_t mask = whole ? 0xffffffffu : 0xffffu;
    const auto unit = [&](int64_t j) __attribute__((always_inline)) {
      if constexpr (kUnit<E> == 1) return bits_of(float(src[j]));
      else return bits_of(src[j], next[j]) & mask;
    };
    uint32_t bits[W] = {};
    if (columns >= W) {
      // Without a condition this becomes a few instructions.
#pragma GCC unroll 32
      for (int j = 0; j < W; ++j) bits[j] = unit(j);
    } else {
      for (int64_t j = 0; j < columns; ++j) bits[j] = unit(j);
    }
    std::memcpy(static_cast<void*>(slab), bits, sizeof bits);
  }
}

TW_SIMD_END
