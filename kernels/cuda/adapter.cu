// A thread: one element of the wide matrix, or of the narrow one. Both are small beside any product they are for.
#include "kernels/adapter.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void spread_kernel(const T* b, T* spread, AdapterParts parts, int64_t count, int64_t r, float scale) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const int64_t wide = parts.count * r, row = i / wide, c = i % wide - parts.of(row) * r;
  store(spread + i, c >= 0 && c < r ? scale * to_float(b[row * r + c]) : 0.f);
}

__global__ void gather_kernel(const float* dspread, float* db, AdapterParts parts, int64_t count, int64_t r, float scale) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const int64_t row = i / r;
  db[i] += scale * dspread[row * parts.count * r + parts.of(row) * r + i % r];
}

}  // namespace

void adapter_spread(const AdapterSpread& op, const Stream& stream) {
  const int64_t count = op.spread.count();
  with_activation(op.b.dtype, [&](auto t) {
    using T = decltype(t);
    launch(spread_kernel<T>, {.blocks = blocks_for(count, kThreads), .threads = kThreads}, stream, op.b.as<T>(), op.spread.as<T>(), op.parts,
           count, op.b.dim(1), op.scale);
  });
}

void adapter_gather(const AdapterGather& op, const Stream& stream) {
  const int64_t count = op.db.count();
  launch(gather_kernel, {.blocks = blocks_for(count, kThreads), .threads = kThreads}, stream, op.dspread.as<float>(), op.db.as<float>(), op.parts,
         count, op.db.dim(1), op.scale);
}

}  // namespace tw::cuda
