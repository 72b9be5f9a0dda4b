// Sums down the columns of a matrix, in an order fixed by its shape.
#pragma once
#include "src/core/tensor.h"

namespace tw::cuda {

// out[c] += sum_n x[n,c]. x (N, C) fp32 or bf16, out (C) fp32.
void add_column_sums(ConstView x, View out, const Stream& stream);

// out[c] += sum_p partials[p * stride + c], p in order of groups; partials in device memory.
void add_partials(const float* partials, int64_t parts, int64_t stride, View out, const Stream& stream);

}  // namespace tw::cuda
