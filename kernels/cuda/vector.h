// 16 bytes at a time between device memory and floats.
#pragma once
#include <type_traits>

#include "kernels/cuda/ptx.h"
#include "src/core/dtype.h"

namespace tw::cuda {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __uint_as_float(unsigned(x.bits) << 16); }
__device__ inline float to_float(fp16 x) { return unpack_fp16(x.bits); }
__device__ inline void store(float* p, float x) { *p = x; }
__device__ inline void store(bf16* p, float x) { p->bits = uint16_t(pack_bf16(x, 0.f)); }
__device__ inline void store(fp16* p, float x) { p->bits = round_fp16(x); }

// x as T stores it.
template <class T>
__device__ inline float rounded_to(float x) {
  if constexpr (std::is_same_v<T, bf16>) return __uint_as_float(pack_bf16(x, 0.f) << 16);
  else return x;
}

// `N` floats in registers, read and written as N elements of T: one access of 16 bytes, or several.
template <int N>
struct Pack {
  float v[N];
};

template <int N>
__device__ inline void load_pack(Pack<N>& x, const float* p) {
#pragma unroll
  for (int i = 0; i < N; i += 4) {
    const float4 f = *reinterpret_cast<const float4*>(p + i);
    x.v[i] = f.x, x.v[i + 1] = f.y, x.v[i + 2] = f.z, x.v[i + 3] = f.w;
  }
}
template <int N>
__device__ inline void load_pack(Pack<N>& x, const bf16* p) {
  static_assert(N % 8 == 0);
#pragma unroll
  for (int i = 0; i < N; i += 8) {
    const uint4 u = *reinterpret_cast<const uint4*>(p + i);
    const unsigned w[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) x.v[i + 2 * j] = __uint_as_float(w[j] << 16), x.v[i + 2 * j + 1] = __uint_as_float(w[j] & 0xffff0000u);
  }
}
template <int N>
__device__ inline void store_pack(float* p, const Pack<N>& x) {
#pragma unroll
  for (int i = 0; i < N; i += 4) *reinterpret_cast<float4*>(p + i) = make_float4(x.v[i], x.v[i + 1], x.v[i + 2], x.v[i + 3]);
}
template <int N>
__device__ inline void store_pack(bf16* p, const Pack<N>& x) {
  static_assert(N % 8 == 0);
#pragma unroll
  for (int i = 0; i < N; i += 8)
    *reinterpret_cast<uint4*>(p + i) = make_uint4(pack_bf16(x.v[i], x.v[i + 1]), pack_bf16(x.v[i + 2], x.v[i + 3]),
                                                  pack_bf16(x.v[i + 4], x.v[i + 5]), pack_bf16(x.v[i + 6], x.v[i + 7]));
}

// Eight elements from p, of which the first `count` are there: 16-byte accesses where all are and `p` is aligned to them.
inline constexpr int kPack = 8;
template <class T>
__device__ inline void load_some(Pack<kPack>& x, const T* p, int64_t count, bool whole) {
  if constexpr (!std::is_same_v<T, fp16>)  // of files alone
    if (whole && count >= kPack) return load_pack(x, p);
#pragma unroll
  for (int i = 0; i < kPack; ++i) x.v[i] = i < count ? to_float(p[i]) : 0.f;
}
template <class T>
__device__ inline void store_some(T* p, const Pack<kPack>& x, int64_t count, bool whole) {
  if constexpr (!std::is_same_v<T, fp16>)
    if (whole && count >= kPack) return store_pack(p, x);
#pragma unroll
  for (int i = 0; i < kPack; ++i)
    if (i < count) store(p + i, x.v[i]);
}

}  // namespace tw::cuda
