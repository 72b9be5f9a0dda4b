#include "kernels/cuda/matmul_any.h"

#include "kernels/cuda/tile_product.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

template <class T, class O>
struct Product {
  const T *a, *b;
  O* out;
  int64_t N, a_row, a_column, b_row, b_column;
  bool accumulate;
  __device__ float left(int64_t m, int64_t k) const { return to_float(a[m * a_row + k * a_column]); }
  __device__ float right(int64_t k, int64_t n) const { return to_float(b[k * b_row + n * b_column]); }
  __device__ void keep(int64_t m, int64_t n, float sum) const {
    O* to = out + m * N + n;
    store(to, (accumulate ? to_float(*to) : 0.f) + sum);
  }
};

}  // namespace

void matmul_any(const MatMul& op, const Stream& stream) {
  const int64_t M = op.out.dim(0), N = op.out.dim(1), K = op.a.dim(op.transpose_a ? 0 : 1);
  with_activation(op.a.dtype, [&](auto t) {
    with_activation(op.out.dtype, [&](auto o) {
      using T = decltype(t);
      using O = decltype(o);
      tile_product(Product<T, O>{op.a.as<T>(), op.b.as<T>(), op.out.as<O>(), N, op.transpose_a ? 1 : K, op.transpose_a ? M : 1, op.transpose_b ? 1 : N, op.transpose_b ? K : 1, op.accumulate},
                   M, N, K, stream);
    });
  });
}

}  // namespace tw::cuda
