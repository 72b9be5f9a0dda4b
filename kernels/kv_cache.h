// Puts the key and value heads of new tokens into a layer's cache.
#pragma once
#include "src/core/tensor.h"

namespace tw {

struct KvCacheAppend {
  ConstView qkv;      // (B, T_new, H + 2 KV, D): q heads, k heads, v heads
  View k_cache;       // (B, KV, T_max, D), qkv's dtype; positions past .. past + T_new - 1 are overwritten
  View v_cache;       // (B, KV, T_max, D)
  int64_t past = 0;
  int64_t heads = 0, kv_heads = 0;
};
void kv_cache_append(const KvCacheAppend& op, const Stream& stream);

namespace cpu { void kv_cache_append(const KvCacheAppend& op, const Stream& stream); }
namespace cuda { void kv_cache_append(const KvCacheAppend& op, const Stream& stream); }

}  // namespace tw
