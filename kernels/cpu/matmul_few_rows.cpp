// Products of a few rows with a weight matrix (N, K), as generation does them, are bound by memory:
// dot products that read every weight once.
#include <algorithm>

#include "kernels/cpu/few_rows.h"
#include "kernels/cpu/matmul.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

// One weight row is read at a time: several at once are as many streams of memory, which the processor fetches ahead at
// little more than half of its bandwidth. Few rows of x leave registers for several sums of each, which hide the time an
// addition takes.
template <int M>
constexpr int kSums = M == 1 ? 4 : M == 2 ? 3 : M <= 4 ? 2 : 1;

// The sum of lanes[m], and rest[m], is x[m,:] . w.
template <int M, class T>
TW_INLINE void dots(const float* x, int64_t ldx, const T* w, int64_t K, Vf (&lanes)[M], float (&rest)[M]) {
  constexpr int S = kSums<M>;
  Vf sums[M][S] = {};
  int64_t k = 0;
  for (; k + S * kLanes <= K; k += S * kLanes) {
#pragma GCC unroll 8
    for (int s = 0; s < S; ++s) {
      const Vf row = load(w + k + s * kLanes);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) sums[m][s] += load(x + m * ldx + k + s * kLanes) * row;
    }
  }
  for (; k + kLanes <= K; k += kLanes) {
    const Vf row = load(w + k);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) sums[m][0] += load(x + m * ldx + k) * row;
  }
  for (int m = 0; m < M; ++m) {
    rest[m] = 0;
    for (int64_t i = k; i < K; ++i) rest[m] += x[m * ldx + i] * float(w[i]);
    lanes[m] = sums[m][0];
    for (int s = 1; s < S; ++s) lanes[m] += sums[m][s];
  }
}

TW_INLINE void put_out(const MatMul& op, int64_t i, float y) {
  if (op.out.dtype == DType::bf16) {
    bf16* out = static_cast<bf16*>(op.out.data) + i;
    *out = bf16(op.accumulate ? float(*out) + y : y);
  } else {
    float* out = static_cast<float*>(op.out.data) + i;
    *out = op.accumulate ? *out + y : y;
  }
}

// Rows [begin, end) of the weights.
template <int M, class T>
void range(const MatMul& op, const float* x, int64_t ldx, int64_t begin, int64_t end) {
  const int64_t N = op.out.dim(1), K = op.b.dim(1);
  const T* weights = static_cast<const T*>(op.b.data);
  float rest[M], rests[M][kLanes];  // of a group of rows
  for_weight_rows<M>(
      begin, end,
      [&](int64_t row, int64_t r, Vf(&lanes)[M]) __attribute__((always_inline)) {
        dots<M, T>(x, ldx, weights + row * K, K, lanes, rest);
        for (int m = 0; m < M; ++m) rests[m][r] = rest[m];
      },
      [&](int m, int64_t row, int64_t r, float sum) __attribute__((always_inline)) {
        put_out(op, m * N + row, sum + rests[m][r] + bias_at(op.bias, row));
      });
}

template <class T>
void few_rows(const MatMul& op, const Stream& stream) {
  const int64_t M = op.out.dim(0), N = op.out.dim(1), K = op.b.dim(1);
  const int64_t ldx = (K + kLanes - 1) / kLanes * kLanes;
  float* x = static_cast<float*>(stream.team().workspace(size_t(M * ldx) * sizeof(float)));
  const T* a = op.a.as<T>();
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t k = 0; k < K; ++k)
      x[m * ldx + k] = float(op.transpose_a ? a[k * M + m] : a[m * K + k]);
  }
  const int64_t grain = std::max<int64_t>(1, 32768 / (K * int64_t(sizeof(T)) * kLanes)) * kLanes;  // blocks of about 32 KiB
  parallel_stretches(stream, N, grain, [&](int64_t begin, int64_t end, int) {
    with_rows(M, [&](auto m) { range<m, T>(op, x, ldx, begin, end); });
  });
}

}  // namespace

void matmul_few_rows(const MatMul& op, const Stream& stream) {
  op.a.dtype == DType::bf16 ? few_rows<bf16>(op, stream) : few_rows<float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT(matmul_few_rows, MatMul)
