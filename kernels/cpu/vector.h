// Short vectors of floats of the width of the level being compiled (4, 8 or 16 lanes).
// Arithmetic and comparisons are GCC's vector extensions: a * b + c, a > b ? a : b.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/cpu/simd.h"
#include "src/core/dtype.h"

TW_SIMD_BEGIN

#define TW_INLINE inline __attribute__((always_inline))

inline constexpr int kLanes = TW_SIMD_LEVEL == 4 ? 16 : TW_SIMD_LEVEL == 3 ? 8 : 4;
typedef float Vf __attribute__((vector_size(kLanes * 4)));
typedef int32_t Vi __attribute__((vector_size(kLanes * 4)));
typedef uint32_t Vu __attribute__((vector_size(kLanes * 4)));
typedef uint16_t Vh __attribute__((vector_size(kLanes * 2)));

TW_INLINE Vf fill(float x) { return x - Vf{}; }  // x - 0 keeps -0 and NaN

TW_INLINE Vf load(const float* p) {
  Vf v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
TW_INLINE void store(float* p, Vf v) { std::memcpy(p, &v, sizeof v); }

TW_INLINE Vf load(const bf16* p) {
  Vh h;
  std::memcpy(&h, p, sizeof h);
  return (Vf)(__builtin_convertvector(h, Vu) << 16);
}
// Rounds to nearest even; NaN stays NaN (as bf16(float)).
TW_INLINE void store(bf16* p, Vf v) {
  const Vu u = (Vu)v;
  const Vu rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const Vu quiet = (u >> 16) | 0x40u;
  const Vh h = __builtin_convertvector((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded, Vh);
  std::memcpy(static_cast<void*>(p), &h, sizeof h);
}

// First n < kLanes elements; the other lanes are `rest`.
template <class T>
TW_INLINE Vf load_some(const T* p, int64_t n, float rest = 0) {
  Vf v = fill(rest);
  for (int64_t i = 0; i < n; ++i) v[i] = float(p[i]);
  return v;
}
template <class T>
TW_INLINE void store_some(T* p, int64_t n, Vf v) {
  for (int64_t i = 0; i < n; ++i) p[i] = T(v[i]);
}

// Lanes are added in one fixed tree.
TW_INLINE float sum(Vf v) {
  float t[kLanes];
  std::memcpy(t, &v, sizeof t);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) t[i] += t[i + half];
  }
  return t[0];
}
TW_INLINE float max(Vf v) {
  float t[kLanes];
  std::memcpy(t, &v, sizeof t);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) t[i] = t[i] > t[i + half] ? t[i] : t[i + half];
  }
  return t[0];
}

// e^x. Cody-Waite reduction x = n ln 2 + r with ln 2 in two parts, |r| <= ln 2 / 2 (Muller, Elementary
// Functions, 3rd ed., section 11.2), then the minimax polynomial of Cephes expf
// (Moshier, netlib cephes/single/expf.c) and a scaling by 2^n in two steps, so that results run
// down to the smallest subnormal. Below 2 ulp; e^-inf = 0, e^x = inf above 88.73, NaN stays NaN.
TW_INLINE Vf exp(Vf x) {
  const Vf high = fill(89.0f), low = fill(-104.0f);
  const Vf nan = x;
  x = x > high ? high : x;
  x = x < low ? low : x;
  const Vf magic = fill(0x1.8p23f);  // adding it rounds to an integer
  const Vf n = (x * 1.44269504088896341f + magic) - magic;
  Vf r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Vf p = fill(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Vi i = __builtin_convertvector(n, Vi);
  const Vi half = i >> 1;
  const Vf scale1 = (Vf)((half + 127) << 23);
  const Vf scale2 = (Vf)((i - half + 127) << 23);
  const Vf y = p * scale1 * scale2;
  return nan == nan ? y : nan;
}

TW_SIMD_END
