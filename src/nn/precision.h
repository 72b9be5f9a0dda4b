// Weights in another precision.
#pragma once
#include "src/core/device.h"
#include "src/core/tensor.h"

namespace tw {

// Weights on the host, rounded to dtype, on the device of `stream`.
Tensor in_precision(Tensor weights, DType dtype, const Stream& stream);

}  // namespace tw
