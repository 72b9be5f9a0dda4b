#include "kernels/cpu/matmul.h"

#include <sys/mman.h>

#include <algorithm>

#include <cblas.h>

#include "kernels/cpu/simd.h"
#include "kernels/pointwise.h"
#include "src/core/error.h"
#include "src/core/thread_team.h"

namespace tw::cpu {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The part of the output one call of the library makes. Chosen from the shape alone.
struct Tiles {
  int64_t m, n;              // size
  int64_t count_m, count_n;  // how many
};

// Up to 512 x 512, where the library packs its operands seldom enough to run at full speed; smaller
// down to 128 x 128 until there are 8, so that threads share the work evenly.
Tiles tiles_of(int64_t M, int64_t N) {
  constexpr int64_t kLargest = 512, kWanted = 8, kSmallestArea = 128 * 128, kUnit = 16;
  int64_t parts_m = ceil_div(M, kLargest), parts_n = ceil_div(N, kLargest);
  const auto size = [](int64_t whole, int64_t parts) {
    return ceil_div(ceil_div(whole, parts), kUnit) * kUnit;
  };
  while (parts_m * parts_n < kWanted && size(M, parts_m) * size(N, parts_n) >= 2 * kSmallestArea) {
    int64_t& parts = size(M, parts_m) > size(N, parts_n) ? parts_m : parts_n;
    parts *= 2;
  }
  const int64_t m = size(M, parts_m), n = size(N, parts_n);
  return {m, n, ceil_div(M, m), ceil_div(N, n)};
}

// Rows [0, m) of c (ldc) (+)= the bias of columns [n0, n0 + n).
void start_from_bias(const MatMul& op, float* c, int64_t ldc, int64_t n0, int64_t m, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    const float bias = bias_at(op.bias, n0 + j);
    if (op.accumulate) {
      for (int64_t i = 0; i < m; ++i) c[i * ldc + j] += bias;
    } else {
      c[j] = bias;
    }
  }
  if (op.accumulate) return;
  for (int64_t i = 1; i < m; ++i) std::copy_n(c, n, c + i * ldc);
}

// OpenBLAS asks for a workspace a thread, and where it gets none (ulimit -v) it asks again for ever: so we ask first.
bool start_library(int threads) {
  const size_t bytes = size_t(threads) * ((size_t(128) << 20) + (size_t(1) << 20));
  void* room = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  TW_CHECK(room != MAP_FAILED, config, "not enough memory: {} bytes of workspace for matrix products could not be allocated; use fewer threads "
           "(training.threads), or raise the limit of address space (ulimit -v)", bytes);
  ::munmap(room, bytes);
  openblas_set_num_threads(1);
  return true;
}

// fp32 by OpenBLAS, one thread a tile.
void matmul_library(const MatMul& op, const Stream& stream) {
  static const bool started = start_library(stream.team().size());
  (void)started;
  const int64_t M = op.out.dim(0), N = op.out.dim(1), K = op.a.dim(op.transpose_a ? 0 : 1);
  const float *a = static_cast<const float*>(op.a.data), *b = static_cast<const float*>(op.b.data);
  const Tiles tiles = tiles_of(M, N);
  stream.team().run(tiles.count_m * tiles.count_n, [&](int64_t item, int) {
    const int64_t m0 = item % tiles.count_m * tiles.m, n0 = item / tiles.count_m * tiles.n;
    const int64_t m = std::min(tiles.m, M - m0), n = std::min(tiles.n, N - n0);
    float* c = op.out.as<float>() + m0 * N + n0;
    if (op.bias) start_from_bias(op, c, N, n0, m, n);
    cblas_sgemm(CblasRowMajor, op.transpose_a ? CblasTrans : CblasNoTrans,
                op.transpose_b ? CblasTrans : CblasNoTrans, int(m), int(n), int(K), 1,
                op.transpose_a ? a + m0 : a + m0 * K, int(op.transpose_a ? M : K),
                op.transpose_b ? b + n0 * K : b + n0, int(op.transpose_b ? K : N),
                op.bias || op.accumulate ? 1.0f : 0.0f, c, int(N));
  });
}

}  // namespace

MatMulPath path_of(const MatMul& op) {
  const int64_t M = op.out.dim(0), K = op.a.dim(op.transpose_a ? 0 : 1);
  if (op.transpose_b && M <= kFewRows && K > 0) return MatMulPath::few_rows;
  if (op.a.dtype == DType::bf16) return has_bf16_products() ? MatMulPath::bf16_pairs : MatMulPath::blocks;
  // With AVX-512 our blocks are ahead of the library in every shape.
  return simd_level() == SimdLevel::v4 || op.out.dtype != DType::fp32 || K == 0 ? MatMulPath::blocks : MatMulPath::library;
}

void matmul(const MatMul& op, const Stream& stream) {
  const MatMulPath path = path_of(op);
  if (path == MatMulPath::bf16_pairs) v4_bf16::matmul_bf16_pairs(op, stream);
  else if (path == MatMulPath::blocks) matmul_gemm(op, stream);
  else {  // they know no epilogue
    MatMul plain = op;
    if (op.epilogue == Epilogue::gelu) plain.out = op.aux;
    path == MatMulPath::few_rows ? matmul_few_rows(plain, stream) : matmul_library(plain, stream);
    if (op.epilogue == Epilogue::gelu) cpu::gelu_forward({.x = op.aux, .y = op.out, .tanh_form = op.tanh_form}, stream);
    if (op.epilogue == Epilogue::gelu_backward)
      cpu::gelu_backward({.x = op.aux, .dy = op.out, .dx = op.out, .tanh_form = op.tanh_form}, stream);
  }
  if (op.dbias) cpu::bias_backward({.dy = op.out, .dbias = op.dbias}, stream);
}

}  // namespace tw::cpu
