// The two forms of GELU (kernels/pointwise.h) on short vectors: value and slope.
#pragma once
#include "kernels/cpu/vector_math.h"

TW_SIMD_BEGIN

// 0.5 (1 + tanh(u / 2)) = sigmoid(u), u = 2 sqrt(2/pi) (x + 0.044715 x^3).
struct TanhForm {
  static constexpr float kLinear = 1.5957691216057308f, kCubic = kLinear * 0.044715f;
  static TW_INLINE Vf value(Vf x) { return x * sigmoid(x * (kLinear + kCubic * (x * x))); }
  static TW_INLINE Vf slope(Vf x) {
    const Vf square = x * x, s = sigmoid(x * (kLinear + kCubic * square));
    return s + (x * s) * ((1.0f - s) * (kLinear + 3 * kCubic * square));
  }
};
struct ErfForm {
  static TW_INLINE Vf value(Vf x) { return x * normal(x).cdf; }
  static TW_INLINE Vf slope(Vf x) {
    const Normal n = normal(x);
    return n.cdf + x * n.density;
  }
};

TW_SIMD_END
