// The device switch: every public op is `check shapes, then TW_DISPATCH`. This is the only file with
// a preprocessor test for a feature.
#pragma once
#include "src/core/error.h"
#include "src/core/tensor.h"

namespace tw {

// "[op] argument: want (4, 8) fp32, got (4, 9) bf16". Throws Error(bug).
void check_view(const char* op, const char* argument, const ConstView& view, Shape want, DType dtype);
void check_dtype(const char* op, const char* argument, const ConstView& view,
                 std::initializer_list<DType> allowed);
void check_rank(const char* op, const char* argument, const ConstView& view, int rank);

}  // namespace tw

#if TW_WITH_CUDA
#define TW_DISPATCH(function, op, stream) \
  ((stream).device().is_cuda() ? cuda::function(op, stream) : cpu::function(op, stream))
#else
#define TW_DISPATCH(function, op, stream)                                                        \
  do {                                                                                           \
    TW_CHECK((stream).device().is_cpu(), config, "[{}] this build has no CUDA", #function);      \
    cpu::function(op, stream);                                                                   \
  } while (false)
#endif
