// The only way a kernel starts.
#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "kernels/cuda/native.h"
#include "kernels/cuda/ptx.h"
#include "src/core/tensor.h"

namespace tw::cuda {

struct LaunchShape {
  int64_t blocks = 0;
  int threads = 256;
  size_t shared = 0;  // bytes of dynamic shared memory
  int64_t blocks_y = 1, blocks_z = 1;
};

// Nothing happens where there are no blocks. Throws what the launch says; what goes wrong later comes with synchronize().
template <class... Wanted, class... Given>
void launch(void (*kernel)(Wanted...), const LaunchShape& shape, const Stream& stream, Given&&... given) {
  if (shape.blocks == 0 || shape.blocks_y == 0 || shape.blocks_z == 0) return;
  TW_CHECK(shape.blocks <= 0x7fffffff && shape.blocks_y <= 65535 && shape.blocks_z <= 65535, bug, "a grid of {} x {} x {} blocks",
           shape.blocks, shape.blocks_y, shape.blocks_z);
  if (shape.shared > (48u << 10))
    TW_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shape.shared)));
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(unsigned(shape.blocks), unsigned(shape.blocks_y), unsigned(shape.blocks_z));
  config.blockDim = dim3(unsigned(shape.threads));
  config.dynamicSmemBytes = shape.shared;
  config.stream = native(stream);
  TW_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, Wanted(std::forward<Given>(given))...));
}

inline int64_t blocks_for(int64_t items, int64_t each) { return (items + each - 1) / each; }

// Whether each is where 16 bytes can be moved at once; a null pointer is.
inline bool all_aligned(std::initializer_list<const void*> pointers) {
  return std::all_of(pointers.begin(), pointers.end(), [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; });
}

// body(float()) or body(bf16()), as the view has it.
template <class Body>
void with_activation(DType dtype, Body&& body) {
  if (dtype == DType::bf16) body(bf16{});
  else body(float{});
}
template <class Body>
void with_type(DType dtype, Body&& body) {
  if (dtype == DType::bf16) body(bf16{});
  else if (dtype == DType::fp16) body(fp16{});
  else body(float{});
}

}  // namespace tw::cuda
