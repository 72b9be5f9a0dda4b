// x := 0.
#pragma once
#include "src/core/tensor.h"

namespace tw {

struct Zero {
  View x;  // any dtype, overwritten
};
void zero(const Zero& op, const Stream& stream);

namespace cpu { void zero(const Zero& op, const Stream& stream); }
namespace cuda { void zero(const Zero& op, const Stream& stream); }

}  // namespace tw
