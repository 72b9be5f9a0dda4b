// The CUDA stream behind a Stream.
#pragma once
#include "src/core/cuda_check.h"
#include "src/core/gpu.h"

namespace tw::cuda {
inline cudaStream_t native(const Stream& stream) { return static_cast<cudaStream_t>(gpu::state_of(stream).handle.get()); }
}  // namespace tw::cuda
