// What the threads of a warp or block do together. Orders of addition are fixed by the number of threads alone.
#pragma once
#include "kernels/cuda/ptx.h"

namespace tw::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

template <class T>
__device__ inline T warp_sum(T x) {
  for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}
__device__ inline float warp_max(float x) {
  for (int step = kWarp / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}

// The sum over all threads, in every thread. scratch: a number a warp in shared memory; free again when the call returns.
template <class T>
__device__ inline T block_sum(T x, T* scratch) {
  x = warp_sum(x);
  const int warps = blockDim.x / kWarp, warp = threadIdx.x / kWarp;
  if (threadIdx.x % kWarp == 0) scratch[warp] = x;
  __syncthreads();
  T sum = scratch[0];
  for (int w = 1; w < warps; ++w) sum += scratch[w];
  __syncthreads();
  return sum;
}
__device__ inline float block_max(float x, float* scratch) {
  x = warp_max(x);
  const int warps = blockDim.x / kWarp, warp = threadIdx.x / kWarp;
  if (threadIdx.x % kWarp == 0) scratch[warp] = x;
  __syncthreads();
  float most = scratch[0];
  for (int w = 1; w < warps; ++w) most = fmaxf(most, scratch[w]);
  __syncthreads();
  return most;
}

}  // namespace tw::cuda
