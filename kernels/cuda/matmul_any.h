// The product where the library has none: rows that start at odd addresses, say.
#pragma once
#include "kernels/matmul.h"

namespace tw::cuda {
// out := or += A B alone, without bias and epilogue.
void matmul_any(const MatMul& op, const Stream& stream);
}  // namespace tw::cuda
