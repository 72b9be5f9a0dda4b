#pragma once
#include "src/core/tensor.h"

namespace tw {

// Each as it should be with `true`, with a mistake with `false`. fp32.
void reverse_blocks(ConstView x, View out, bool barrier, const Stream& stream);   // parts of 128
void add_one(ConstView x, View out, bool guarded, const Stream& stream);
void copy_fours(ConstView x, View out, bool with_tail, const Stream& stream);
void sum_of_a_warp(ConstView x, View out, bool together, const Stream& stream);   // x (32), out (1)
void read_unset_shared_memory(View out, const Stream& stream);
void launch_too_much(int threads, size_t shared, View out, const Stream& stream);

}  // namespace tw
