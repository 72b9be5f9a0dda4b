#include "kernels/kv_cache.h"

#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work_of(const KvCacheAppend& op) {
  const double moved = double(op.qkv.dim(0) * op.qkv.dim(1) * 2 * op.kv_heads * op.qkv.dim(3));
  return {.bytes = 2 * moved * double(size_of(op.qkv.dtype)), .dtype = op.qkv.dtype};
}

}  // namespace

void kv_cache_append(const KvCacheAppend& op, const Stream& stream) {
  check_rank("kv_cache_append", "qkv", op.qkv, 4);
  check_rank("kv_cache_append", "k_cache", op.k_cache, 4);
  const Shape want{op.qkv.dim(0), op.kv_heads, op.k_cache.dim(2), op.qkv.dim(3)};
  check_view("kv_cache_append", "k_cache", op.k_cache, want, op.qkv.dtype);
  check_view("kv_cache_append", "v_cache", op.v_cache, want, op.qkv.dtype);
  TW_CHECK(op.qkv.dim(2) == op.heads + 2 * op.kv_heads, bug, "[kv_cache_append] qkv {} does not hold {} + 2 x {} heads",
           op.qkv.shape.str(), op.heads, op.kv_heads);
  TW_CHECK(op.past >= 0 && op.past + op.qkv.dim(1) <= op.k_cache.dim(2), bug,
           "[kv_cache_append] {} tokens after {} do not fit a cache of {}", op.qkv.dim(1), op.past, op.k_cache.dim(2));
  TW_DISPATCH(kv_cache_append, op, stream);
}

}  // namespace tw
