// Softmax cross entropy of a chunk of logits, forward and backward in one pass, in place:
//   loss[n] = logsumexp(logits[n,:]) - logits[n, target[n]]
//   logits[n,v] := softmax(logits)[n,v] - [v == target[n]]     (with gradient = true)
// The gradient is that of the *sum* of losses; the trainer divides by the global token count once.
#pragma once
#include "src/core/tensor.h"

namespace tw {

inline constexpr int32_t kIgnoredTarget = -1;  // a target that counts neither in loss nor gradient

struct CrossEntropy {
  View logits;        // (N, V_padded), fp32 or bf16; overwritten with the gradient if wanted
  ConstView targets;  // (N) i32 in [0, vocab) or kIgnoredTarget
  View losses;        // (N) fp32, overwritten; 0 where ignored
  int64_t vocab = 0;  // V <= V_padded; columns from V on are outside the softmax, their gradient is 0
  bool gradient = true;
};
void cross_entropy(const CrossEntropy& op, const Stream& stream);

namespace cpu { void cross_entropy(const CrossEntropy& op, const Stream& stream); }
namespace cuda { void cross_entropy(const CrossEntropy& op, const Stream& stream); }

}  // namespace tw
