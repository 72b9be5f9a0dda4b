// The device switch: every public op is `check shapes, then TW_DISPATCH`. This is the only file with
// a preprocessor test for a feature. A file of ops defines work_of(op) for each (kernels/op_probe.h).
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

#if TW_WITH_CUDA
namespace tw { inline constexpr bool kBuiltWithCuda = true; }
#define TW_DISPATCH(function, op, stream)                                            \
  do {                                                                               \
    if ((stream).device().is_cuda())                                                 \
      TW_PROBED(function, op, stream, cuda::function(op, stream));                   \
    else                                                                             \
      TW_PROBED(function, op, stream, cpu::function(op, stream));                    \
  } while (false)
#else
namespace tw { inline constexpr bool kBuiltWithCuda = false; }
#define TW_DISPATCH(function, op, stream)                                                        \
  do {                                                                                           \
    TW_CHECK((stream).device().is_cpu(), config, "[{}] this build has no CUDA", #function);      \
    TW_PROBED(function, op, stream, cpu::function(op, stream));                                  \
  } while (false)
#endif
