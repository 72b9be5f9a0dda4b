#include "kernels/matmul.h"

#include <cblas.h>

#include <algorithm>

#include "src/core/thread_team.h"

namespace tw::cpu {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

const float* as_fp32(const ConstView& view, float* copy, const Stream& stream) {
  if (view.dtype == DType::fp32) return view.as<float>();
  const bf16* p = view.as<bf16>();
  parallel_blocks(stream, view.count(), 1 << 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) copy[i] = float(p[i]);
  });
  return copy;
}

}  // namespace

void matmul(const MatMul& op, const Stream& stream) {
  static const bool once = (openblas_set_num_threads(1), true);
  (void)once;
  const int64_t M = op.out.dim(0), N = op.out.dim(1), K = op.a.dim(op.transpose_a ? 0 : 1);
  ThreadTeam& team = stream.team();
  const bool wide = op.a.dtype == DType::fp32;
  float* copies = wide ? nullptr : static_cast<float*>(team.workspace(size_t(M * K + K * N + 16) * sizeof(float)));
  const float* a = as_fp32(op.a, copies, stream);
  const float* b = as_fp32(op.b, copies + (wide ? 0 : M * K), stream);

  const int64_t tiles_m = ceil_div(M, 512), tiles_n = ceil_div(N, tiles_m > 1 ? 512 : 256);
  const int64_t tile_m = ceil_div(ceil_div(M, tiles_m), 16) * 16, tile_n = ceil_div(ceil_div(N, tiles_n), 16) * 16;
  team.run(tiles_m * tiles_n, [&](int64_t item, int thread) {
    const int64_t m0 = item % tiles_m * tile_m, n0 = item / tiles_m * tile_n;
    const int64_t m = std::min(tile_m, M - m0), n = std::min(tile_n, N - n0);
    if (m <= 0 || n <= 0) return;
    const bool direct = op.out.dtype == DType::fp32;
    float* c = direct ? op.out.as<float>() + m0 * N + n0 : static_cast<float*>(team.scratch(thread, size_t(m * n) * 4));
    const int64_t ldc = direct ? N : n;
    const bool keep = op.accumulate;
    if (op.bias || K == 0) {
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          const float bias = !op.bias                        ? 0
                             : op.bias.dtype == DType::fp32 ? op.bias.as<float>()[n0 + j]
                                                            : float(op.bias.as<bf16>()[n0 + j]);
          c[i * ldc + j] = bias + (keep ? c[i * ldc + j] : 0);
        }
      }
    }
    if (K > 0) {
      cblas_sgemm(CblasRowMajor, op.transpose_a ? CblasTrans : CblasNoTrans, op.transpose_b ? CblasTrans : CblasNoTrans,
                  int(m), int(n), int(K), 1, op.transpose_a ? a + m0 : a + m0 * K, int(op.transpose_a ? M : K),
                  op.transpose_b ? b + n0 * K : b + n0, int(op.transpose_b ? K : N), op.bias || keep ? 1.0f : 0.0f, c,
                  int(ldc));
    }
    if (!direct) {
      bf16* out = op.out.as<bf16>();
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) out[(m0 + i) * N + n0 + j] = bf16(c[i * n + j]);
      }
    }
  });
}

}  // namespace tw::cpu
