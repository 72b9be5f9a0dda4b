// The ways a matrix product is done on the CPU.
#pragma once
#include "kernels/matmul.h"

namespace tw::cpu {

// Element n of a bias of fp32 or bf16; 0 where it is empty.
inline float bias_at(const ConstView& bias, int64_t n) {
  return !bias ? 0.0f : bias.dtype == DType::fp32 ? static_cast<const float*>(bias.data)[n] : float(static_cast<const bf16*>(bias.data)[n]);
}

// Any shape and dtype.
void matmul_gemm(const MatMul& op, const Stream& stream);
// bf16 operands multiplied as pairs: the twin, in ordinary arithmetic, of the version that uses AVX512_BF16
// instructions.
void matmul_bf16_pairs(const MatMul& op, const Stream& stream);
#if defined(__x86_64__)
namespace v4_bf16 {
void matmul_bf16_pairs(const MatMul& op, const Stream& stream);
}
#else
namespace v4_bf16 {
using cpu::matmul_bf16_pairs;
}
#endif
// M <= kFewRows, K > 0 and transpose_b: every weight is read once.
inline constexpr int64_t kFewRows = 8;
void matmul_few_rows(const MatMul& op, const Stream& stream);

// Which way is taken: by shape, dtype and instruction set alone.
enum class MatMulPath { few_rows, bf16_pairs, blocks, library };
MatMulPath path_of(const MatMul& op);

}  // namespace tw::cpu
