// The device switch: every public op is `check shapes, then TW_DISPATCH`. A file of ops defines work_of(op) for each (kernels/op_probe.h).
#pragma once
#include "kernels/op_probe.h"
#include "src/core/error.h"
#include "src/core/tensor.h"

namespace tw {

// "[op] argument: want (4, 8) fp32, got (4, 9) bf16". Throws Error(bug).
void check_view(const char* op, const char* argument, const ConstView& view, Shape want, DType dtype);
void check_dtype(const char* op, const char* argument, const ConstView& view,
                 std::initializer_list<DType> allowed);
void check_rank(const char* op, const char* argument, const ConstView& view, int rank);

}  // namespace tw

// Runs `call`, which is the op, and tells the stream's probe of it.
#define TW_PROBED(function, op, stream, call)                     \
  do {                                                            \
    if (OpProbe* const probe = (stream).probe()) [[unlikely]] {   \
      probe->begin(stream);                                       \
      call;                                                       \
      probe->end(#function, work_of(op), stream);                 \
    } else {                                                      \
      call;                                                       \
    }                                                             \
  } while (false)

// A build without CUDA has a cuda::function that refuses (kernels/cuda/absent.cpp).
#define TW_DISPATCH(function, op, stream)                            \
  do {                                                               \
    if ((stream).device().is_cuda())                                 \
      TW_PROBED(function, op, stream, cuda::function(op, stream));   \
    else                                                             \
      TW_PROBED(function, op, stream, cpu::function(op, stream));    \
  } while (false)
