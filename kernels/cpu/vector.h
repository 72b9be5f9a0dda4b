// Short vectors of floats of the width of the level being compiled (4, 8 or 16 lanes).
// Arithmetic and comparisons are GCC's vector extensions: a * b + c, a > b ? a : b.
#pragma once
#if defined(TW_SIMD_BF16)
#include <immintrin.h>
#endif

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
#if TW_SIMD_LEVEL == 3
  // The compiler would widen the two halves apart.
  typedef short Short8 __attribute__((vector_size(16)));
  return (Vf)((Vu)__builtin_ia32_pmovzxwd256((Short8)h) << 16);
#else
  return (Vf)(__builtin_convertvector(h, Vu) << 16);
#endif
}
// Rounds to nearest even; NaN stays NaN (as bf16(float)). The instruction of AVX512_BF16 takes subnormal numbers as 0.
TW_INLINE void store(bf16* p, Vf v) {
#if defined(TW_SIMD_BF16)
  const auto h = _mm512_cvtneps_pbh((__m512)v);
  std::memcpy(static_cast<void*>(p), &h, sizeof h);
#else
  const Vu u = (Vu)v;
  const Vu rounded = u + (((u >> 16) & 1u) + 0x7fffu);
  const Vu bits = v == v ? rounded : (u | 0x400000u);
#if TW_SIMD_LEVEL == 3
  typedef long long Quads __attribute__((vector_size(32)));
  const Vu top = bits >> 16;
  const Quads packed = (Quads)__builtin_ia32_packusdw256((Vi)top, (Vi)top);
  const Quads ordered = __builtin_ia32_permdi256(packed, 0x08);
  std::memcpy(static_cast<void*>(p), &ordered, sizeof(Vh));
#else
  const Vh h = __builtin_convertvector(bits >> 16, Vh);
  std::memcpy(static_cast<void*>(p), &h, sizeof h);
#endif
#endif
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

// The larger of two; b where one is NaN (as the machine instruction does it).
TW_INLINE Vf larger(Vf a, Vf b) {
#if TW_SIMD_LEVEL == 4
  return __builtin_ia32_maxps512_mask(a, b, b, 0xffff, 4);
#elif TW_SIMD_LEVEL == 3
  return __builtin_ia32_maxps256(a, b);
#else
  return a > b ? a : b;
#endif
}

// The part the exponentials share: x = n ln 2 + r with ln 2 in two parts, |r| <= ln 2 /
// 2 (Cody-Waite reduction; Muller, Elementary Functions, 3rd ed., section 11.2), then the minimax
// polynomial of Cephes expf (Moshier, netlib cephes/single/expf.c). Returns e^r; n is in the low
// bits of `rounded`.
TW_INLINE Vf exp_reduced(Vf x, Vf& rounded) {
  const Vf magic = fill(0x1.8p23f);  // adding it rounds to an integer
  rounded = x * 1.44269504088896341f + magic;
  const Vf n = rounded - magic;
  Vf r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * (r * r) + r + 1.0f;
}

// e^x within 2 ulp down to the smallest subnormal; e^-inf = 0, inf above 88.73, NaN stays NaN.
TW_INLINE Vf exp(Vf x) {
  const Vf high = fill(89.0f), low = fill(-104.0f);
  x = x > high ? high : x;
  x = larger(low, x);
  Vf rounded;
  const Vf p = exp_reduced(x, rounded);
  const Vi n = ((Vi)rounded << 9) >> 9;  // sign-extended
  // Two steps, since 2^n alone can be subnormal or infinite.
  const Vi half = n >> 1;
  return p * (Vf)((half + 127) << 23) * (Vf)((n - half + 127) << 23);
}

// e^x for x <= 88, within 2 ulp above -87; below it stays at e^-87 (1.6e-38). NaN stays NaN.
TW_INLINE Vf exp_of_score(Vf x) {
  Vf rounded;
  const Vf p = exp_reduced(larger(fill(-87.0f), x), rounded);
  return p * (Vf)(((Vi)rounded << 23) + (127 << 23));
}

// 2^x for x < 128, within 4 ulp above -126; below it stays at 2^-126, so that no subnormal numbers, which are slow on
// some CPUs, get into the next product. NaN stays NaN. Minimax polynomial of ours on [-1/2, 1/2], relative error 8e-8.
TW_INLINE Vf exp2_of_score(Vf x) {
  x = larger(fill(-126.0f), x);
#if TW_SIMD_LEVEL == 4
  const Vf n = __builtin_ia32_rndscaleps_mask(x, 0, x, 0xffff, 4);
#else
  const Vf magic = fill(0x1.8p23f), shifted = x + magic, n = shifted - magic;
#endif
  const Vf r = x - n;
  Vf p = r * 0x1.5c08dcp-10f + 0x1.3d0c52p-7f;
  p = p * r + 0x1.c6b6e6p-5f;
  p = p * r + 0x1.ebf918p-3f;
  p = p * r + 0x1.62e428p-1f;
  p = p * r + 0x1.000002p+0f;
#if TW_SIMD_LEVEL == 4
  return __builtin_ia32_scalefps512_mask(p, n, p, 0xffff, 4);
#else
  return p * (Vf)(((Vi)shifted << 23) + (127 << 23));
#endif
}

TW_SIMD_END
