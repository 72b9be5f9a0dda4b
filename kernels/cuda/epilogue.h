// What follows a matrix product where the library cannot do it in the same pass.
#pragma once
#include "kernels/matmul.h"

namespace tw::cuda {

// In place on op.out (M, N), which holds the product: v = out + bias; gelu: aux := v, out := gelu(v); gelu_backward:
// out := v gelu'(aux).
void finish_product(const MatMul& op, const Stream& stream);

}  // namespace tw::cuda
