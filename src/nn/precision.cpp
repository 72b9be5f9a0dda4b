#include "src/nn/precision.h"

#include <utility>

#include "kernels/pointwise.h"
#include "src/core/staging.h"

namespace tw {

Tensor in_precision(Tensor weights, DType dtype, const Stream& stream) {
  if (weights.dtype() != dtype) {
    Tensor cast_weights(weights.shape(), dtype);
    cast({.in = weights.view(), .out = cast_weights.view()}, stream.host());
    weights = std::move(cast_weights);
  }
  if (stream.device().is_cpu()) return weights;
  Tensor on_device(weights.shape(), dtype, stream.device());
  Staging(stream).to_device(weights.view(), on_device.view());
  return on_device;
}

}  // namespace tw
