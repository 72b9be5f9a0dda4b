#include "kernels/fill.h"

#include "kernels/cuda/launch.h"

namespace tw::cuda {

void zero(const Zero& op, const Stream& stream) {
  if (op.x.bytes() > 0) TW_CUDA_CHECK(cudaMemsetAsync(op.x.data, 0, op.x.bytes(), native(stream)));
}

}  // namespace tw::cuda
