// The next token, drawn from logits: cut to the most likely, then by chance (Holtzman et al. 2020, arXiv:1904.09751).
//   w[i] = exp((logits[i] - max) / temperature); tokens in the order of larger logit, then smaller id;
//   of the first top_k, the shortest beginning whose w reach top_p of theirs; of these the one at `uniform` of their sum.
// Without top_k and top_p the order is that of ids. NaN counts as -inf.
#pragma once
#include "src/core/tensor.h"

namespace tw {

struct PickToken {
  ConstView logits;        // (at least vocab) fp32, of any shape
  View id;                 // (1) i32, overwritten; -1 where no logit is finite or one is +inf
  int64_t vocab = 0;
  double temperature = 1;  // 0 = the largest, the smallest id among equals
  int64_t top_k = 0;       // 0 = all
  double top_p = 1;
  double uniform = 0;      // in [0, 1)
};
void pick_token(const PickToken& op, const Stream& stream);

namespace cpu { void pick_token(const PickToken& op, const Stream& stream); }
namespace cuda { void pick_token(const PickToken& op, const Stream& stream); }

}  // namespace tw
