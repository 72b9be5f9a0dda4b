// out[m,n] (+)= sum_k A[m,k] B[k,n] (+ bias[n]);  A = a or a^T, B = b or b^T. fp32 accumulation.
// Bits do not depend on the number of threads: tiles are fixed by the shape and K is never split.
#pragma once
#include "src/core/tensor.h"

namespace tw {

// gelu: aux := product + bias, out := gelu(aux). gelu_backward: out := product * gelu'(aux).
enum class Epilogue { none, gelu, gelu_backward };

struct MatMul {
  ConstView a;               // (M, K), or (K, M) with transpose_a; fp32 or bf16
  ConstView b;               // (K, N), or (N, K) with transpose_b; a's dtype
  View out;                  // (M, N), fp32 or bf16; overwritten, or added to with accumulate
  ConstView bias;            // (N), fp32 or a's dtype, or empty
  bool transpose_a = false;
  bool transpose_b = false;
  bool accumulate = false;   // into out bf16 the sum is rounded once more
  Epilogue epilogue = Epilogue::none;  // not with accumulate; gelu_backward not with bias
  View aux;                  // (M, N) of out's dtype, with an epilogue: overwritten by gelu, read by gelu_backward
  bool tanh_form = true;     // of gelu (kernels/pointwise.h)
  View dbias;                // (N) fp32 or empty, added to: the sums of out's columns
};
void matmul(const MatMul& op, const Stream& stream);

namespace cpu { void matmul(const MatMul& op, const Stream& stream); }
namespace cuda { void matmul(const MatMul& op, const Stream& stream); }

}  // namespace tw
