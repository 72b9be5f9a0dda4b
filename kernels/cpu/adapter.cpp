#include "kernels/adapter.h"

#include "src/core/thread_team.h"

namespace tw::cpu {
namespace {

constexpr int64_t kGrain = 512;  // rows

template <class T>
void spread(const AdapterSpread& op, const Stream& stream) {
  const int64_t r = op.b.dim(1), wide = op.spread.dim(1);
  const T* b = op.b.as<T>();
  T* out = op.spread.as<T>();
  parallel_blocks(stream, op.b.dim(0), kGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      T* to = out + row * wide;
      const int64_t first = op.parts.of(row) * r;
      for (int64_t c = 0; c < wide; ++c) to[c] = T(c >= first && c < first + r ? op.scale * float(b[row * r + c - first]) : 0.0f);
    }
  });
}

}  // namespace

void adapter_spread(const AdapterSpread& op, const Stream& stream) {
  op.b.dtype == DType::bf16 ? spread<bf16>(op, stream) : spread<float>(op, stream);
}

void adapter_gather(const AdapterGather& op, const Stream& stream) {
  const int64_t r = op.db.dim(1), wide = op.dspread.dim(1);
  const float* from = op.dspread.as<float>();
  float* db = op.db.as<float>();
  parallel_blocks(stream, op.db.dim(0), kGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t c = 0; c < r; ++c) db[row * r + c] += op.scale * from[row * wide + op.parts.of(row) * r + c];
  });
}

}  // namespace tw::cpu
