// Block (x, y): every so-many-th word of part y. Reads x once: floor, its bytes over the memory's bandwidth.
#include "kernels/checksum.h"

#include "kernels/cuda/block.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/launch.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kBlocks = 1024;

__global__ void checksum_kernel(const uint32_t* x, int64_t words, int64_t first, int64_t next, unsigned long long* partials) {
  auto* scratch = shared_memory<unsigned long long>();
  const uint32_t* from = x + blockIdx.y * words;
  const int64_t place = first + blockIdx.y * next;
  unsigned long long sum = 0;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < words; i += int64_t(gridDim.x) * kThreads)
    sum += checksum_term(from[i], uint64_t(place + i));
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) partials[int64_t(blockIdx.y) * gridDim.x + blockIdx.x] = sum;
}
__global__ void add_kernel(const unsigned long long* partials, int64_t count, int64_t* sums) {
  auto* scratch = shared_memory<unsigned long long>();
  unsigned long long all = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) all += partials[blockIdx.x * count + i];
  all = block_sum(all, scratch);
  if (threadIdx.x == 0) sums[blockIdx.x] = int64_t(all);
}

}  // namespace

void checksum(const Checksum& op, const Stream& stream) {
  const int64_t parts = op.sums.dim(0), words = int64_t(op.x.bytes()) / 4 / parts;
  const int64_t blocks = std::max<int64_t>(1, std::min(kBlocks / std::min(parts, kBlocks), blocks_for(words, kThreads)));
  auto* partials = context_of(stream).scratch<unsigned long long>(size_t(parts * blocks));
  const size_t shared = kWarp * sizeof(unsigned long long);
  launch(checksum_kernel, {.blocks = blocks, .threads = kThreads, .shared = shared, .blocks_y = parts}, stream, static_cast<const uint32_t*>(op.x.data),
         words, op.first, op.one_place ? 0 : words, partials);
  launch(add_kernel, {.blocks = parts, .threads = kThreads, .shared = shared}, stream, partials, blocks, op.sums.as<int64_t>());
}

}  // namespace tw::cuda
