// Rotary position embedding on the q and k heads of a packed (B, T, H + 2 KV, D) tensor, in place.
// Dimension i is paired with i + D/2 (the order of Hugging Face's Llama):
//   x'[i] = x[i] cos - x[i + D/2] sin,  x'[i + D/2] = x[i + D/2] cos + x[i] sin,  angle = pos * theta^(-2i/D)
// Su et al. 2021, arXiv:2104.09864 section 3.4. The v heads are left alone.
#pragma once
#include "src/core/tensor.h"

namespace tw {

// cos and sin of angle (T, D/2) fp32 for positions first .. first + T - 1; computed in double.
void rope_table(double theta, int64_t first, View cos, View sin);  // in host memory
void copy_rope_table(double theta, View cos, View sin, const Stream& stream);  // of positions 0 ..., to the stream's device

struct Rope {
  View qkv;             // (B, T, H + 2 KV, D), fp32 or bf16, in place
  ConstView cos, sin;   // (at least T, D/2) fp32
  int64_t heads = 0;    // H
  int64_t kv_heads = 0; // KV
  bool backward = false;  // rotates by the negative angle: the gradient's rotation
};
void rope(const Rope& op, const Stream& stream);

namespace cpu { void rope(const Rope& op, const Stream& stream); }
namespace cuda { void rope(const Rope& op, const Stream& stream); }

}  // namespace tw
