#include "kernels/kv_cache.h"

#include <cstring>

namespace tw {

void cpu::kv_cache_append(const KvCacheAppend& op, const Stream&) {
  const int64_t B = op.qkv.dim(0), T = op.qkv.dim(1), slots = op.qkv.dim(2), T_max = op.k_cache.dim(2);
  const size_t head = size_t(op.qkv.dim(3)) * size_of(op.qkv.dtype);
  const char* qkv = static_cast<const char*>(op.qkv.data);
  char *k = static_cast<char*>(op.k_cache.data), *v = static_cast<char*>(op.v_cache.data);
  for (int64_t b = 0; b < B; ++b)
    for (int64_t t = 0; t < T; ++t)
      for (int64_t h = 0; h < op.kv_heads; ++h) {
        const char* token = qkv + size_t((b * T + t) * slots) * head;
        const size_t to = size_t((b * op.kv_heads + h) * T_max + op.past + t) * head;
        std::memcpy(k + to, token + size_t(op.heads + h) * head, head);
        std::memcpy(v + to, token + size_t(op.heads + op.kv_heads + h) * head, head);
      }
}

}  // namespace tw
