#include "kernels/cuda/matmul_any.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

constexpr int kTile = 32, kRows = 8, kThreads = kTile * kRows, kEach = kTile / kRows;

// A block: a 32 x 32 tile of out, 32 of K at a time through shared memory; thread (x, y) keeps column x of rows y, y + 8, ...
// Not made for speed: 2 M N K operations in plain fp32.
template <class T, class O>
__global__ void product_kernel(const T* a, const T* b, O* out, int64_t M, int64_t N, int64_t K, int64_t a_row, int64_t a_column,
                               int64_t b_row, int64_t b_column, bool accumulate) {
  float* left = shared_memory<float>();            // (kTile, kTile + 1)
  float* right = left + kTile * (kTile + 1);       // (kTile, kTile + 1)
  const int x = threadIdx.x % kTile, y = threadIdx.x / kTile;
  const int64_t m0 = int64_t(blockIdx.y) * kTile, n0 = int64_t(blockIdx.x) * kTile;
  float sum[kEach] = {};
  for (int64_t k0 = 0; k0 < K; k0 += kTile) {
    for (int i = y; i < kTile; i += kRows) {
      left[i * (kTile + 1) + x] = m0 + i < M && k0 + x < K ? to_float(a[(m0 + i) * a_row + (k0 + x) * a_column]) : 0.f;
      right[i * (kTile + 1) + x] = k0 + i < K && n0 + x < N ? to_float(b[(k0 + i) * b_row + (n0 + x) * b_column]) : 0.f;
    }
    __syncthreads();
    for (int k = 0; k < kTile; ++k)
#pragma unroll
      for (int j = 0; j < kEach; ++j) sum[j] += left[(y + kRows * j) * (kTile + 1) + k] * right[k * (kTile + 1) + x];
    __syncthreads();
  }
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int64_t m = m0 + y + kRows * j;
    if (m >= M || n0 + x >= N) continue;
    O* to = out + m * N + n0 + x;
    store(to, (accumulate ? to_float(*to) : 0.f) + sum[j]);
  }
}

}  // namespace

void matmul_any(const MatMul& op, const Stream& stream) {
  const int64_t M = op.out.dim(0), N = op.out.dim(1), K = op.a.dim(op.transpose_a ? 0 : 1);
  with_activation(op.a.dtype, [&](auto t) {
    with_activation(op.out.dtype, [&](auto o) {
      using T = decltype(t);
      using O = decltype(o);
      launch(product_kernel<T, O>, {.blocks = blocks_for(N, kTile), .threads = kThreads, .shared = 2 * kTile * (kTile + 1) * sizeof(float), .blocks_y = blocks_for(M, kTile)},
             stream, op.a.as<T>(), op.b.as<T>(), op.out.as<O>(), M, N, K, op.transpose_a ? 1 : K, op.transpose_a ? M : 1,
             op.transpose_b ? 1 : N, op.transpose_b ? K : 1, op.accumulate);
    });
  });
}

}  // namespace tw::cuda
