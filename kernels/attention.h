// Causal softmax attention with grouped key/value heads; no T x T matrix is ever stored.
//   o[b,t,h,:] = sum_{u<=t} softmax_u(scale q.k) v,  kv head of h = h / (H / KV)
// Forward in blocks with a running maximum and sum; backward recomputes the probabilities from
// lse. Dao 2023, arXiv:2307.08691 sections 3.1-3.2. Softmax in fp32.
// A row may hold several documents, one behind the other: each is then attended on its own, as if it were alone, and
// costs what it would cost alone.
// Bits do not depend on the number of threads: an item is one (b, kv head), its blocks in order.
#pragma once
#include "src/core/tensor.h"

namespace tw {

struct AttentionForward {
  ConstView qkv;         // (B, T, H + 2 KV, D), fp32 or bf16: q heads, then k heads, then v heads
  ConstView starts;      // (B, T) i32: where the document of each position begins in its row; empty = one document a row
  View out;              // (B, T, H, D), qkv's dtype, overwritten
  View lse;              // (B, H, T) fp32, overwritten: log-sum-exp of the scaled scores
  int64_t heads = 0, kv_heads = 0;
  float scale = 0;       // usually 1/sqrt(D)
};
void attention_forward(const AttentionForward& op, const Stream& stream);

struct AttentionBackward {
  ConstView qkv;         // (B, T, H + 2 KV, D)
  ConstView starts;      // as in forward
  ConstView out, dout;   // (B, T, H, D)
  ConstView lse;         // (B, H, T) fp32
  View dqkv;             // (B, T, H + 2 KV, D), overwritten
  int64_t heads = 0, kv_heads = 0;
  float scale = 0;
};
void attention_backward(const AttentionBackward& op, const Stream& stream);

// Attention of new tokens over a key/value cache: token i of T_new stands at position past + i and
// sees keys 0 .. past + i. Generation.
struct AttentionDecode {
  ConstView qkv;           // (B, T_new, H + 2 KV, D): only the q heads are read
  ConstView k_cache;       // (B, KV, T_max, D), qkv's dtype; positions < past + T_new are filled
  ConstView v_cache;       // (B, KV, T_max, D)
  View out;                // (B, T_new, H, D), overwritten
  int64_t past = 0;
  int64_t heads = 0, kv_heads = 0;
  float scale = 0;
};
void attention_decode(const AttentionDecode& op, const Stream& stream);

namespace cpu {
void attention_forward(const AttentionForward& op, const Stream& stream);
void attention_backward(const AttentionBackward& op, const Stream& stream);
void attention_decode(const AttentionDecode& op, const Stream& stream);
}  // namespace cpu
namespace cuda {
void attention_forward(const AttentionForward& op, const Stream& stream);
void attention_backward(const AttentionBackward& op, const Stream& stream);
void attention_decode(const AttentionDecode& op, const Stream& stream);
}  // namespace cuda

}  // namespace tw
