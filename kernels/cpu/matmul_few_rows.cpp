// Products of a few rows with a weight matrix (N, K), as generation does them, are bound by memory:
// dot products that read every weight once.
#include <algorithm>

#include "kernels/cpu/matmul.h"
#include "kernels/cpu/vector.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

// dots[m][r] = x[m,:] . w[r,:]
template <int M, int R, class T>
TW_INLINE void dots(const float* x, int64_t ldx, const T* w, int64_t K, float (&result)[M][R]) {
  Vf lanes[M][R] = {};
  int64_t k = 0;
  for (; k + kLanes <= K; k += kLanes) {
    Vf row[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) row[r] = load(w + r * K + k);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const Vf v = load(x + m * ldx + k);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) lanes[m][r] += v * row[r];
    }
  }
  for (int m = 0; m < M; ++m) {
    for (int r = 0; r < R; ++r) {
      float rest = 0;
      for (int64_t i = k; i < K; ++i) rest += x[m * ldx + i] * float(w[r * K + i]);
      result[m][r] = sum(lanes[m][r]) + rest;
    }
  }
}

template <int M, int R, class T>
void rows(const MatMul& op, const float* x, int64_t ldx, int64_t n) {
  const int64_t N = op.out.dim(1), K = op.b.dim(1);
  float result[M][R];
  dots<M, R, T>(x, ldx, static_cast<const T*>(op.b.data) + n * K, K, result);
  for (int r = 0; r < R; ++r) {
    const float bias = !op.bias ? 0.0f
                       : op.bias.dtype == DType::fp32
                           ? static_cast<const float*>(op.bias.data)[n + r]
                           : float(static_cast<const bf16*>(op.bias.data)[n + r]);
    for (int m = 0; m < M; ++m) {
      const float y = result[m][r] + bias;
      if (op.out.dtype == DType::bf16) {
        static_cast<bf16*>(op.out.data)[m * N + n + r] = bf16(y);
      } else {
        float* out = static_cast<float*>(op.out.data) + m * N + n + r;
        *out = op.accumulate ? *out + y : y;
      }
    }
  }
}

// More weight rows at once where few rows of x leave registers free.
template <int M, class T>
void range(const MatMul& op, const float* x, int64_t ldx, int64_t begin, int64_t end) {
  constexpr int R = M == 1 ? 8 : M == 2 ? 4 : M <= 4 ? 2 : 1;
  int64_t n = begin;
  for (; n + R <= end; n += R) rows<M, R, T>(op, x, ldx, n);
  for (; n < end; ++n) rows<M, 1, T>(op, x, ldx, n);
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
  // Items of about 64k weights.
  const int64_t grain = std::max<int64_t>(8, 65536 / K / 8 * 8);
  parallel_blocks(stream, N, grain, [&](int64_t begin, int64_t end, int) {
    switch (M) {
      case 1:
        return range<1, T>(op, x, ldx, begin, end);
      case 2:
        return range<2, T>(op, x, ldx, begin, end);
      case 3:
        return range<3, T>(op, x, ldx, begin, end);
      case 4:
        return range<4, T>(op, x, ldx, begin, end);
      case 5:
        return range<5, T>(op, x, ldx, begin, end);
      case 6:
        return range<6, T>(op, x, ldx, begin, end);
      case 7:
        return range<7, T>(op, x, ldx, begin, end);
      default:
        return range<8, T>(op, x, ldx, begin, end);
    }
  });
}

}  // namespace

void matmul_few_rows(const MatMul& op, const Stream& stream) {
  op.a.dtype == DType::bf16 ? few_rows<bf16>(op, stream) : few_rows<float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT(matmul_few_rows, MatMul)
