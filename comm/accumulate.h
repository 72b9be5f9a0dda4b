// One step of a reduction on host memory.
#pragma once
#include "comm/communicator.h"

namespace tw {
// into[i] = into[i] (op) from[i]. Equal dtype and count; fp32, fp64, i32, i64. Integer sums wrap.
// A NaN in either operand gives NaN, for every op.
void accumulate(View into, ConstView from, ReduceOp op);
}  // namespace tw
