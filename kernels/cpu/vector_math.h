// Functions on short vectors that the element-wise ops need: sigmoid, the normal distribution, fp16.
#pragma once
#include "kernels/cpu/vector.h"

TW_SIMD_BEGIN

// 1 / (1 + e^-x) within 3 ulp for x >= -80; below it stays at e^-80, so that no subnormal numbers, which are slow on
// some CPUs, get into the next product. NaN stays NaN.
TW_INLINE Vf sigmoid(Vf x) { return reciprocal(1.0f + exp_of_score(-larger(fill(-80.0f), x))); }

// The standard normal distribution: P(Z <= x) and its density.
struct Normal {
  Vf cdf, density;
};
// P(Z <= -t) = e^(-t^2/2) R(t) for t >= 0, with R(t) = erfcx(t / sqrt 2) / 2 = u P(u), u = 1 / (1 + 0.34 t)
// (the form of Hastings 1955, sheet 45; Abramowitz & Stegun 7.1.26). P of degree 8 is a minimax fit
// of ours on [0, 12.5], relative error 2e-8. The cdf is within 2^-23 of the truth, and far below 0
// the relative error stays near 1e-6, where 1 + erf(x / sqrt 2) would cancel. Beyond |x| = 12.5 the
// tail stays at 4e-36: no subnormal numbers, as above. NaN stays NaN.
TW_INLINE Normal normal(Vf x) {
  const Vf most = fill(12.5f);
  Vf t = x < 0.0f ? -x : x;
  t = t > most ? most : t;
  const Vf e = exp_of_score(-0.5f * t * t), u = reciprocal(1.0f + 0.34f * t);
  Vf p = u * -0x1.b88daap-6f + 0x1.251aeep-3f;
  p = p * u - 0x1.1f12b2p-2f;
  p = p * u + 0x1.ae4e6ap-3f;
  p = p * u - 0x1.9943940p-5f;
  p = p * u + 0x1.e138c2p-4f;
  p = p * u + 0x1.d5bc90p-4f;
  p = p * u + 0x1.16e5c4p-3f;
  p = p * u + 0x1.15be3cp-3f;
  const Vf tail = e * (p * u);
  return {x < 0.0f ? tail : 1.0f - tail, e * 0.398942280401433f};
}

// fp16, the same bits as the scalar conversions of src/core/dtype.h. An fp16 moved up by 13 bits is the
// right fp32 but for the exponent's bias: times 2^(127 - 15), subnormal numbers included.
TW_INLINE Vf load(const fp16* p) {
  Vh h;
  std::memcpy(&h, p, sizeof h);
  const Vi u = (Vi)widen(h), magnitude = u & 0x7fff;
  const Vi wide = (Vi)((Vf)(magnitude << 13) * 0x1p112f);
  return (Vf)(wide | (magnitude >= 0x7c00 ? wide | 0x7f800000 : wide) | ((u & 0x8000) << 16));
}
TW_INLINE void store(fp16* p, Vf v) {
  const Vi u = (Vi)v, magnitude = u & 0x7fffffff, sign = (Vi)((Vu)u >> 16) & 0x8000;
  const Vi usual = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  const Vi subnormal = (Vi)((Vf)magnitude + 0.5f) - 0x3f000000;  // lines the bits up and rounds
  const Vi special = magnitude > 0x7f800000 ? 0x7e00 + (magnitude & 0) : 0x7c00 + (magnitude & 0);
  Vi bits = magnitude < 0x38800000 ? subnormal : usual;
  bits = magnitude >= 0x477ff000 ? special : bits;  // rounds to at least 65536
  const Vh h = __builtin_convertvector((Vu)(bits | sign), Vh);
  std::memcpy(static_cast<void*>(p), &h, sizeof h);
}

TW_SIMD_END
