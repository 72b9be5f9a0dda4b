// Everything that only a GPU's compiler understands, each entry with a twin in plain C++ that the emulation runs
// (tests/emulation). Nothing else in kernels/cuda may ask which compiler it is.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "src/core/dtype.h"

namespace tw::cuda {

// The block's shared memory, as many bytes as the launch asked for; not set.
template <class T>
__device__ inline T* shared_memory() {
#ifdef __CUDACC__
  extern __shared__ __align__(128) unsigned char tw_shared_memory[];
  return reinterpret_cast<T*>(tw_shared_memory);
#else
  return static_cast<T*>(tw_emulation::dynamic_shared());
#endif
}

#ifndef __CUDACC__
namespace twin {
// What lane `from` gave to this exchange of the warp.
template <class T>
struct Shared {
  const unsigned char* slots;
  T operator[](unsigned from) const {
    T value;
    std::memcpy(&value, slots + 64 * from, sizeof value);
    return value;
  }
};
template <class T>
Shared<T> share(const T& mine) {
  static_assert(sizeof(T) <= 64);
  return {tw_emulation::warp_exchange(&mine, sizeof mine)};
}
inline uint16_t bf16_bits(float x) {
  const unsigned u = __float_as_uint(x);
  return (u & 0x7fffffffu) > 0x7f800000u ? uint16_t((u >> 16) | 0x40u) : uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
inline float half_of(uint32_t pair, int high) { return __uint_as_float(high ? pair & 0xffff0000u : pair << 16); }
}  // namespace twin
#endif

// Two floats as bf16, rounded to nearest even; `low` in the lower half (PTX ISA, cvt.rn.bf16x2.f32).
__device__ inline uint32_t pack_bf16(float low, float high) {
#ifdef __CUDACC__
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return uint32_t(twin::bf16_bits(high)) << 16 | twin::bf16_bits(low);
#endif
}

// IEEE binary16: exact, and rounded to nearest even.
__device__ inline float unpack_fp16(uint16_t bits) {
#ifdef __CUDACC__
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
#else
  fp16 x;
  x.bits = bits;
  return float(x);
#endif
}
__device__ inline uint16_t round_fp16(float x) {
#ifdef __CUDACC__
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
#else
  return fp16(x).bits;
#endif
}

// e^x by 2^(x log2 e), about 2 ulp (ex2.approx).
__device__ inline float fast_exp2(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return std::exp2(x);
#endif
}

// 16 bytes from device to shared memory while the thread goes on (cp.async.cg); zeros where !inside.
__device__ inline void copy_async(void* to, const void* from, bool inside) {
#ifdef __CUDACC__
  const unsigned address = unsigned(__cvta_generic_to_shared(to));
  const int bytes = inside ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes));
#else
  if (inside) std::memcpy(to, from, 16);
  else std::memset(to, 0, 16);
#endif
}
__device__ inline void commit_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;");
#endif
}
// All but the last `Left` groups of this thread's copies have arrived.
template <int Left>
__device__ inline void await_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(Left));
#endif
}

// Four 8 x 8 tiles of 16-bit elements from shared memory; lane i gives the address of row i % 8 of tile i / 8 and gets
// of each tile the elements (lane / 4, 2 (lane % 4)) and the one right of it (ldmatrix.x4). Transposed: of the tile's
// transpose.
template <bool Transposed>
__device__ inline void load_tiles(uint32_t (&r)[4], const void* row) {
#ifdef __CUDACC__
  const unsigned address = unsigned(__cvta_generic_to_shared(row));
  if constexpr (Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
#else
  const unsigned lane = tw_emulation::lane();
  const auto rows = twin::share(static_cast<const uint16_t*>(row));
  for (unsigned tile = 0; tile < 4; ++tile) {
    uint16_t low, high;
    if constexpr (Transposed) {
      low = rows[8 * tile + 2 * (lane % 4)][lane / 4], high = rows[8 * tile + 2 * (lane % 4) + 1][lane / 4];
    } else {
      const uint16_t* p = rows[8 * tile + lane / 4];
      low = p[2 * (lane % 4)], high = p[2 * (lane % 4) + 1];
    }
    r[tile] = uint32_t(high) << 16 | low;
  }
#endif
}

// c += a b for a 16 x 16, b 16 x 8 in bf16, c 16 x 8 in fp32 (mma.m16n8k16). Of lane l, with g = l / 4 and t = 2 (l % 4):
//   a[0]: (g, t..t+1), a[1]: (g + 8, t..), a[2]: (g, t + 8..), a[3]: (g + 8, t + 8..);  b[0]: (t..t+1, g), b[1]: (t + 8.., g);
//   c[0..1]: (g, t..t+1), c[2..3]: (g + 8, t..t+1).
__device__ inline void multiply_tiles(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifdef __CUDACC__
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  struct Fragments { uint32_t a[4], b[2]; };
  Fragments mine{{a[0], a[1], a[2], a[3]}, {b0, b1}};
  const auto all = twin::share(mine);
  const unsigned lane = tw_emulation::lane(), g = lane / 4, t = 2 * (lane % 4);
  for (unsigned row = 0; row < 2; ++row)
    for (unsigned column = 0; column < 2; ++column)
      for (unsigned k = 0; k < 16; ++k) {
        const uint32_t x = all[4 * g + k % 8 / 2].a[2 * (k / 8) + row], y = all[4 * (t + column) + k % 8 / 2].b[k / 8];
        c[2 * row + column] += twin::half_of(x, int(k % 2)) * twin::half_of(y, int(k % 2));
      }
#endif
}

}  // namespace tw::cuda
