// Packing for the blocked matrix product: Goto & van de Geijn 2008, "Anatomy of high-performance
// matrix multiplication", section 5. Both operands become slabs (units of K, W): A in strips of
// W = kTileRows, B in panels of W = kPanel.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cpu/micro_gemm.h"

TW_SIMD_BEGIN

inline constexpr int64_t kPanel = 2 * kLanes;                   // columns of a panel of B
inline constexpr int64_t kRows = 96;                            // rows of A an item packs at once
inline constexpr int64_t kDepth = 256;                          // units of K whose panel stays in L1
inline constexpr int64_t kMaxDepth = TW_SIMD_LEVEL == 4 ? 1536 : 768;  // units of K whose rows of A stay in L2
inline constexpr int64_t kOverhang = kLanes;                    // elements a strip is written beyond its end
static_assert(kRows % kTileRows == 0);

TW_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The first kLanes units of a row, or all of its k values and zeros.
template <class E, class T>
TW_INLINE Vu units(const T* src, int64_t k) {
  if constexpr (kUnit<E> == 1) return (Vu)(k >= kLanes ? load(src) : load_some(src, k));
  Vu v = {};
  if (k >= kLanes * kUnit<E>) std::memcpy(&v, src, sizeof v);
  else std::memcpy(&v, src, size_t(k) * sizeof(T));
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

// Values j .. j + kLanes of a row, or of two as pairs, zeros for a null second; what stands beyond `readable` is zero.
template <class E, class T>
TW_INLINE Vu elements(const T* first, const T* second, int64_t j, int64_t readable) {
  const auto values = [=](const T* row) __attribute__((always_inline)) {
    return (Vu)(j + kLanes <= readable ? load(row + j) : load_some(row + j, readable - j));
  };
  if constexpr (kUnit<E> == 1) return values(first);
  else return values(first) >> 16 | (second ? values(second) : Vu{});
}

// Slabs from src (k rows of `columns` values, `stride` apart), whose columns stay columns: W of them a slab, the
// slabs one behind the other. Rows are read whole, since many of them may lie in one set of a cache; those of
// fp32 are fetched ahead, since no hardware foresees a jump from row to row. `readable` values of each row may be read.
template <int W, class E, class T>
TW_INLINE void pack_columns(E* slabs, const T* src, int64_t stride, int64_t columns, int64_t readable, int64_t k) {
  const int64_t count = ceil_div(k, kUnit<E>), slab = count * W;
  for (int64_t p = 0; p < count; ++p, src += kUnit<E> * stride, slabs += W) {
    const T* second = kUnit<E> * (p + 1) <= k ? src + stride : nullptr;
    E* to = slabs;
    int64_t j = 0;
    for (; j + W <= columns; j += W, to += slab) {
#pragma GCC unroll 4
      for (int g = 0; g < W; g += kLanes) {
        if constexpr (kUnit<E> == 1) __builtin_prefetch(src + 16 * stride + j + g);
        const Vu v = elements<E>(src, second, j + g, readable);
        std::memcpy(static_cast<void*>(to + g), &v, size_t(W - g < kLanes ? W - g : kLanes) * sizeof(E));
      }
    }
    if (j >= columns) continue;
    for (int g = 0; g < W; g += kLanes) {
      const Vu v = j + g < columns ? elements<E>(src, second, j + g, columns) : Vu{};
      std::memcpy(static_cast<void*>(to + g), &v, size_t(W - g < kLanes ? W - g : kLanes) * sizeof(E));
    }
  }
}

TW_SIMD_END
