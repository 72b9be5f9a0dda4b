// Kernels with a mistake each, beside the same without it: the emulation must tell them apart.
#include "tests/emulation/broken_kernels.h"

#include "kernels/cuda/block.h"
#include "kernels/cuda/launch.h"

namespace tw {
namespace {

using namespace cuda;
constexpr int kThreads = 128;

// out[i] = x[kThreads - 1 - i] of each block's part, by way of shared memory.
__global__ void reverse_kernel(const float* x, float* out, bool barrier) {
  float* part = shared_memory<float>();
  part[threadIdx.x] = x[blockIdx.x * kThreads + threadIdx.x];
  if (barrier) __syncthreads();
  out[blockIdx.x * kThreads + threadIdx.x] = part[kThreads - 1 - threadIdx.x];
}

// out = x + 1. The last block has threads behind the end.
__global__ void add_one_kernel(const float* x, float* out, int64_t n, bool guarded) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (!guarded || i < n) out[i] = x[i] + 1;
}

// Four elements a thread; what is left at the end is one element each.
__global__ void tail_kernel(const float* x, float* out, int64_t n, bool with_tail) {
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * 4;
  if (i + 4 <= n) {
    for (int j = 0; j < 4; ++j) out[i + j] = x[i + j];
  } else if (with_tail) {
    for (int64_t j = i; j < n; ++j) out[j] = x[j];
  }
}

// A sum over the block in which half of each warp leaves before the exchange.
__global__ void diverging_kernel(const float* x, float* out, bool together) {
  if (!together && threadIdx.x % 2 != 0) return;
  const float sum = warp_sum(x[threadIdx.x]);
  if (threadIdx.x == 0) *out = sum;
}

// Reads what nothing wrote.
__global__ void shared_read_kernel(float* out) {
  const float* nothing = shared_memory<float>();
  out[threadIdx.x] = nothing[threadIdx.x];
}

}  // namespace

void reverse_blocks(ConstView x, View out, bool barrier, const Stream& stream) {
  launch(reverse_kernel, {.blocks = x.count() / kThreads, .threads = kThreads, .shared = kThreads * sizeof(float)}, stream, x.as<float>(),
         out.as<float>(), barrier);
}
void add_one(ConstView x, View out, bool guarded, const Stream& stream) {
  launch(add_one_kernel, {.blocks = blocks_for(x.count(), kThreads), .threads = kThreads}, stream, x.as<float>(), out.as<float>(), x.count(), guarded);
}
void copy_fours(ConstView x, View out, bool with_tail, const Stream& stream) {
  launch(tail_kernel, {.blocks = blocks_for(x.count(), 4 * kThreads), .threads = kThreads}, stream, x.as<float>(), out.as<float>(), x.count(),
         with_tail);
}
void sum_of_a_warp(ConstView x, View out, bool together, const Stream& stream) {
  launch(diverging_kernel, {.blocks = 1, .threads = kWarp}, stream, x.as<float>(), out.as<float>(), together);
}
void read_unset_shared_memory(View out, const Stream& stream) {
  launch(shared_read_kernel, {.blocks = 1, .threads = int(out.count()), .shared = out.bytes()}, stream, out.as<float>());
}
void launch_too_much(int threads, size_t shared, View out, const Stream& stream) {
  launch(shared_read_kernel, {.blocks = 1, .threads = threads, .shared = shared}, stream, out.as<float>());
}

}  // namespace tw
