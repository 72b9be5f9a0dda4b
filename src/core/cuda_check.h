// One check for every call of the CUDA runtime.
#pragma once
#include <cuda_runtime.h>

#include <source_location>

#include "src/core/error.h"

namespace tw {

// Error(config) where no device or driver is there or its memory is used up, Error(bug) for a fault of the caller, Error(io)
// where the device failed.
[[noreturn]] void throw_cuda(cudaError_t code, const char* expression, std::source_location where);
inline void check_cuda(cudaError_t code, const char* expression, std::source_location where) {
  if (code != cudaSuccess) [[unlikely]] throw_cuda(code, expression, where);
}

}  // namespace tw

#define TW_CUDA_CHECK(call) ::tw::check_cuda((call), #call, std::source_location::current())
