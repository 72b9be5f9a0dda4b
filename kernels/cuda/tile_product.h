// A product of matrices that are never written whole, in plain fp32: a Product gives their elements and takes those of the result.
//   __device__ float left(int64_t m, int64_t k) const;  __device__ float right(int64_t k, int64_t n) const;
//   __device__ void keep(int64_t m, int64_t n, float sum) const;   for m < M, k < K, n < N
#pragma once
#include "kernels/cuda/launch.h"

namespace tw::cuda {

inline constexpr int kTile = 32, kTileRows = 8, kTileThreads = kTile * kTileRows, kTileEach = kTile / kTileRows;

// A block: a 32 x 32 tile of the result, 32 of K at a time through shared memory; thread (x, y) keeps column x of rows y, y + 8, ... Rows of
// tiles go along the grid's first dimension: there may be many. Floor: 2 M N K operations of plain fp32; not made for speed.
template <class Product>
__global__ void tile_product_kernel(Product p, int64_t M, int64_t N, int64_t K) {
  float* left = shared_memory<float>();       // (kTile, kTile + 1)
  float* right = left + kTile * (kTile + 1);  // (kTile, kTile + 1)
  const int x = threadIdx.x % kTile, y = threadIdx.x / kTile;
  const int64_t m0 = int64_t(blockIdx.x) * kTile, n0 = int64_t(blockIdx.y) * kTile;
  float sum[kTileEach] = {};
  for (int64_t k0 = 0; k0 < K; k0 += kTile) {
    for (int i = y; i < kTile; i += kTileRows) {
      left[i * (kTile + 1) + x] = m0 + i < M && k0 + x < K ? p.left(m0 + i, k0 + x) : 0.f;
      right[i * (kTile + 1) + x] = k0 + i < K && n0 + x < N ? p.right(k0 + i, n0 + x) : 0.f;
    }
    __syncthreads();
    for (int k = 0; k < kTile; ++k)
#pragma unroll
      for (int j = 0; j < kTileEach; ++j) sum[j] += left[(y + kTileRows * j) * (kTile + 1) + k] * right[k * (kTile + 1) + x];
    __syncthreads();
  }
#pragma unroll
  for (int j = 0; j < kTileEach; ++j) {
    const int64_t m = m0 + y + kTileRows * j;
    if (m < M && n0 + x < N) p.keep(m, n0 + x, sum[j]);
  }
}

template <class Product>
void tile_product(const Product& product, int64_t M, int64_t N, int64_t K, const Stream& stream) {
  launch(tile_product_kernel<Product>, {.blocks = blocks_for(M, kTile), .threads = kTileThreads, .shared = 2 * kTile * (kTile + 1) * sizeof(float), .blocks_y = blocks_for(N, kTile)}, stream,
         product, M, N, K);
}

}  // namespace tw::cuda
