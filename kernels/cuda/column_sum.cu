#include "kernels/cuda/column_sum.h"

#include "kernels/cuda/context.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

constexpr int kLanesX = 8, kLanesY = 32;       // threads of a block over 64 columns and 32 rows at a time
constexpr int64_t kColumns = kLanesX * kPack;
constexpr int64_t kMostParts = 256;            // of the rows

// partials[part, c] = the sum of a contiguous part of the rows. A block: 64 columns of a part; thread (x, y) takes eight
// columns of rows y, y + 32, ...; the 32 sums of a column are added in order of y. Reads x once, N C elements: floor, their bytes over
// the memory's bandwidth.
template <class T>
__global__ void column_parts(const T* x, int64_t N, int64_t C, int64_t rows_a_part, float* partials, bool whole) {
  float* sums = shared_memory<float>();  // (kLanesY, kColumns)
  const int lx = threadIdx.x % kLanesX, ly = threadIdx.x / kLanesX;
  const int64_t c = blockIdx.x * kColumns + lx * kPack;
  const int64_t begin = blockIdx.y * rows_a_part, end = begin + rows_a_part < N ? begin + rows_a_part : N;
  Pack<kPack> sum{};
  if (c < C) {
    for (int64_t n = begin + ly; n < end; n += kLanesY) {
      Pack<kPack> v;
      load_some(v, x + n * C + c, C - c, whole);
#pragma unroll
      for (int j = 0; j < kPack; ++j) sum.v[j] += v.v[j];
    }
  }
#pragma unroll
  for (int j = 0; j < kPack; ++j) sums[ly * kColumns + lx * kPack + j] = sum.v[j];
  __syncthreads();
  if (threadIdx.x < kColumns && blockIdx.x * kColumns + threadIdx.x < C) {
    float total = 0;
    for (int y = 0; y < kLanesY; ++y) total += sums[y * kColumns + threadIdx.x];
    partials[blockIdx.y * C + blockIdx.x * kColumns + threadIdx.x] = total;
  }
}

// A block: 32 columns; thread (x, y) adds a contiguous run of the parts of column x, then the 32 runs are added in order.
__global__ void __launch_bounds__(1024) partials_kernel(const float* partials, int64_t parts, int64_t stride, int64_t C, float* out) {
  float* sums = shared_memory<float>();  // (32, 32)
  const int x = threadIdx.x % 32, y = threadIdx.x / 32;
  const int64_t c = int64_t(blockIdx.x) * 32 + x, run = (parts + 31) / 32;
  float sum = 0;
  if (c < C)
    for (int64_t p = y * run; p < (y + 1) * run && p < parts; ++p) sum += partials[p * stride + c];
  sums[y * 32 + x] = sum;
  __syncthreads();
  if (y != 0 || c >= C) return;
  float total = 0;
  for (int i = 0; i < 32; ++i) total += sums[i * 32 + x];
  out[c] += total;
}

}  // namespace

void add_partials(const float* partials, int64_t parts, int64_t stride, View out, const Stream& stream) {
  const int64_t C = out.count();
  launch(partials_kernel, {.blocks = blocks_for(C, 32), .threads = 1024, .shared = 32 * 32 * sizeof(float)}, stream, partials,
         parts, stride, C, out.as<float>());
}

void add_column_sums(ConstView x, View out, const Stream& stream) {
  const int64_t N = x.dim(0), C = x.dim(1);
  if (N == 0 || C == 0) return;
  const int64_t most = std::max<int64_t>(1, std::min<int64_t>(kMostParts, int64_t(Context::kScratch / sizeof(float)) / C));
  const int64_t rows = std::max<int64_t>(kLanesY, blocks_for(N, most)), parts = blocks_for(N, rows);
  float* partials = context_of(stream).scratch<float>(size_t(parts * C));
  with_activation(x.dtype, [&](auto t) {
    using T = decltype(t);
    const bool whole = all_aligned({x.data}) && C * int64_t(sizeof(T)) % 16 == 0;
    launch(column_parts<T>, {.blocks = blocks_for(C, kColumns), .threads = kLanesX * kLanesY, .shared = kLanesY * kColumns * sizeof(float), .blocks_y = parts},
           stream, x.as<T>(), N, C, rows, partials, whole);
  });
  add_partials(partials, parts, C, out, stream);
}

}  // namespace tw::cuda
