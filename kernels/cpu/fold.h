// Sums of the lanes of as many vectors as a vector has lanes, all together: half as many vectors with each step, where adding
// up each alone would take as many steps for one.
#pragma once
#include "kernels/cpu/vector.h"

TW_SIMD_BEGIN

// Lane i of v[0] becomes sum(v[i]), the same bits; the other vectors are overwritten. Call it without kHalf.
template <int kHalf = kLanes / 2>
TW_INLINE void fold(Vf* v) {
  if constexpr (kHalf > 0) {
    Vi low, high;  // of the lanes of two vectors, those that stay and those that are added
    for (int i = 0; i < kLanes; ++i) {
      low[i] = i & kHalf ? kLanes + i : i;
      high[i] = i & kHalf ? kLanes + (i & ~kHalf) : i | kHalf;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kHalf; ++i)
      v[i] = __builtin_shuffle(v[i], v[i + kHalf], low) + __builtin_shuffle(v[i], v[i + kHalf], high);
    fold<kHalf / 2>(v);
  }
}

TW_SIMD_END
