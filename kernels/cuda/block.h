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

// combine of what each warp has, in the order of warps, in every thread. x: the same in a warp. scratch: a number a warp in
// shared memory; free again when the call returns.
template <class T, class Combine>
__device__ inline T across_warps(T x, T* scratch, Combine combine) {
  const int warps = blockDim.x / kWarp, warp = threadIdx.x / kWarp;
  if (threadIdx.x % kWarp == 0) scratch[warp] = x;
  __syncthreads();
  T all = scratch[0];
  for (int w = 1; w < warps; ++w) all = combine(all, scratch[w]);
  __syncthreads();
  return all;
}
// The sum over all threads, in every thread; scratch as above.
template <class T>
__device__ inline T block_sum(T x, T* scratch) {
  return across_warps(warp_sum(x), scratch, [](T a, T b) { return a + b; });
}
__device__ inline float block_max(float x, float* scratch) {
  return across_warps(warp_max(x), scratch, [](float a, float b) { return fmaxf(a, b); });
}

}  // namespace tw::cuda
