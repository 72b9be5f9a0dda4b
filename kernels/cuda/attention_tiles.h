// What the attention kernels without tensor cores share: rows of heads in shared memory as fp32, and sums over their width.
#pragma once
#include "kernels/cuda/block.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {

inline constexpr int kWarps = 4;  // of a block

// Rows lie one float apart from a multiple of the banks, so that 32 lanes read 32 rows at one column without conflict.
__host__ __device__ inline int row_stride(int D) { return D | 1; }

// Row r < there of `to` := D elements at from + r * stride; rows up to `rows` become 0. All threads of the block.
template <class T>
__device__ inline void load_rows(float* to, const T* from, int64_t stride, int rows, int64_t there, int D) {
  for (int i = threadIdx.x; i < rows * D; i += kWarps * kWarp) {
    const int r = i / D, d = i % D;
    to[r * row_stride(D) + d] = r < there ? to_float(from[r * stride + d]) : 0.f;
  }
}

__device__ inline float dot(const float* a, const float* b, int D) {
  float sum = 0;
  for (int d = 0; d < D; ++d) sum += a[d] * b[d];
  return sum;
}

// acc[j] += sum_r weights[r] rows[r][lane + 32 j].
template <int J>
__device__ inline void add_weighted(float (&acc)[J], const float* weights, const float* rows, int count, int D) {
  const int lane = threadIdx.x % kWarp;
  for (int r = 0; r < count; ++r) {
    const float w = weights[r];
    if (w == 0.f) continue;  // what is not seen may hold anything
#pragma unroll
    for (int j = 0; j < J; ++j)
      if (lane + kWarp * j < D) acc[j] += w * rows[r * row_stride(D) + lane + kWarp * j];
  }
}
template <int J, class T>
__device__ inline void store_row(T* to, const float (&acc)[J], float factor, int D) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int j = 0; j < J; ++j)
    if (lane + kWarp * j < D) store(to + lane + kWarp * j, acc[j] * factor);
}

// body.template operator()<J>() with 32 J >= D.
template <class Body>
void with_width(int64_t D, Body&& body) {
  if (D <= 32) body.template operator()<1>();
  else if (D <= 64) body.template operator()<2>();
  else if (D <= 128) body.template operator()<4>();
  else if (D <= 256) body.template operator()<8>();
  else if (D <= 512) body.template operator()<16>();
  else body.template operator()<32>();
}
// Rows whose sums a warp keeps in registers.
template <int J>
inline constexpr int kHeld = J <= 2 ? 4 : J <= 8 ? 2 : 1;

}  // namespace tw::cuda
