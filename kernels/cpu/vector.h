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

// Half words to whole ones, by name: the compiler would widen the two halves apart and join them.
TW_INLINE Vu widen(Vh h) {
#if TW_SIMD_LEVEL == 4
  typedef short Shorts __attribute__((vector_size(32)));
  return (Vu)__builtin_ia32_pmovzxwd512_mask((Shorts)h, Vi{}, 0xffff);
#elif TW_SIMD_LEVEL == 3
  typedef short Shorts __attribute__((vector_size(16)));
  return (Vu)__builtin_ia32_pmovzxwd256((Shorts)h);
#else
  return __builtin_convertvector(h, Vu);
#endif
}

// A number of 32 bits in each 64-bit lane, so that products stay whole.
typedef uint64_t Words __attribute__((vector_size(kLanes * 4)));
TW_INLINE Words product(Words a, Words b) {  // of the low halves
#if TW_SIMD_LEVEL == 4
  typedef long long Quads __attribute__((vector_size(64)));
  return (Words)__builtin_ia32_pmuludq512_mask((Vi)a, (Vi)b, Quads{}, 0xff);
#elif TW_SIMD_LEVEL == 3
  return (Words)__builtin_ia32_pmuludq256((Vi)a, (Vi)b);
#elif defined(__x86_64__)
  return (Words)__builtin_ia32_pmuludq128((Vi)a, (Vi)b);
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

TW_INLINE Vf load(const bf16* p) {
  Vh h;
  std::memcpy(&h, p, sizeof h);
  return (Vf)(widen(h) << 16);
}
// Rounds to nearest even; NaN stays NaN (as bf16(float)). With AVX512_BF16 it is one instruction instead of
// eight, which makes zeros of subnormal numbers (below 1.2e-38), as the product of pairs of bf16 does.
TW_INLINE void store(bf16* p, Vf v) {
#if defined(TW_SIMD_BF16)
  const Vh h = (Vh)_mm512_cvtneps_pbh((__m512)v);
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

// The exponentials: x = n ln 2 + r with ln 2 in two parts (Cody-Waite reduction; Muller, Elementary Functions, 3rd ed.,
// section 11.2), then 2^n e^r.
#if TW_SIMD_LEVEL == 4
// A register holds 2^(j/16), so n is a multiple of 1/16, |r| <= ln 2 / 32 and three terms of e^r suffice (Tang 1989, ACM
// TOMS 15, algorithm 1): 7 multiplications instead of 10, which are what these loops wait for.
alignas(64) inline constexpr float kPowersOfTwo[kLanes] = {
    0x1p+0f, 0x1.0b5586p+0f, 0x1.172b84p+0f, 0x1.2387a6p+0f, 0x1.306fep+0f, 0x1.3dea64p+0f, 0x1.4bfdaep+0f, 0x1.5ab07ep+0f,
    0x1.6a09e6p+0f, 0x1.7a1148p+0f, 0x1.8ace54p+0f, 0x1.9c4918p+0f, 0x1.ae89fap+0f, 0x1.c199bep+0f, 0x1.d5818ep+0f, 0x1.ea4afap+0f};
// Returns e^r - 1; sixteen_n is also in the low bits of `rounded`, power is 2^(j/16) with j its last four.
TW_INLINE Vf exp_reduced(Vf x, Vf& sixteen_n, Vi& rounded, Vf& power) {
  const Vf magic = fill(0x1.8p23f);  // adding it rounds to an integer
  const Vf sum = x * (16 * 1.44269504088896341f) + magic;
  rounded = (Vi)sum;
  sixteen_n = sum - magic;
  Vf r = x - sixteen_n * (0.693359375f / 16);
  r = r - sixteen_n * (-2.12194440e-4f / 16);
  power = __builtin_ia32_permvarsf512_mask(load(kPowersOfTwo), rounded, Vf{}, 0xffff);
  return ((r * (1.0f / 6) + 0.5f) * r + 1.0f) * r;
}

// e^x within 2 ulp down to the smallest subnormal; e^-inf = 0, inf above 88.73, NaN stays NaN.
TW_INLINE Vf exp(Vf x) {
  const Vf high = fill(89.0f), low = fill(-104.0f);
  x = x > high ? high : x;
  Vf n, power;
  Vi rounded;
  const Vf q = exp_reduced(larger(low, x), n, rounded, power);
  return __builtin_ia32_scalefps512_mask(power * q + power, n * (1.0f / 16), power, 0xffff, 4);
}

// e^x for x <= 88, within 2 ulp above -87; below it stays at e^-87 (1.6e-38). NaN stays NaN.
TW_INLINE Vf exp_of_score(Vf x) {
  Vf n, power;
  Vi rounded;
  const Vf q = exp_reduced(larger(fill(-87.0f), x), n, rounded, power);
  power = (Vf)((Vi)power + ((rounded & ~15) << 19));
  return power * q + power;
}
#else
// |r| <= ln 2 / 2 and e^r = 1 + r + r^2 P(r), P of degree 4 a minimax fit of ours, relative error 3e-9. Returns e^r; n is
// in the low bits of `rounded`.
TW_INLINE Vf exp_reduced(Vf x, Vi& rounded) {
  const Vf magic = fill(0x1.8p23f);  // adding it rounds to an integer
  const Vf sum = x * 1.44269504088896341f + magic, n = sum - magic;
  rounded = (Vi)sum;
  Vf r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Vf p = r * 0x1.6ac6b2p-10f + 0x1.123de0p-7f;
  p = p * r + 0x1.555858p-5f;
  p = p * r + 0x1.55548cp-3f;
  p = p * r + 0x1.fffffcp-2f;
  p = p * r + 1.0f;
  return p * r + 1.0f;
}

TW_INLINE Vf exp(Vf x) {
  const Vf high = fill(89.0f), low = fill(-104.0f);
  x = x > high ? high : x;
  Vi rounded;
  const Vf p = exp_reduced(larger(low, x), rounded);
  const Vi n = (rounded << 9) >> 9;  // sign-extended
  // Two steps, since 2^n alone can be subnormal or infinite.
  const Vi half = n >> 1;
  return p * (Vf)((half + 127) << 23) * (Vf)((n - half + 127) << 23);
}

TW_INLINE Vf exp_of_score(Vf x) {
  Vi rounded;
  const Vf p = exp_reduced(larger(fill(-87.0f), x), rounded);
  return p * (Vf)((rounded << 23) + (127 << 23));
}
#endif

// 1 / d within 1 ulp for d of 2^-125 to 2^125; NaN stays NaN. An estimate of 14 bits and one step of Newton's: a
// division of 16 lanes takes as long as ten other instructions.
TW_INLINE Vf reciprocal(Vf d) {
#if TW_SIMD_LEVEL == 4
  const Vf estimate = __builtin_ia32_rcp14ps512_mask(d, d, 0xffff);
  return estimate + estimate * (1.0f - d * estimate);
#else
  return 1.0f / d;
#endif
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
