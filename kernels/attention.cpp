#include "kernels/attention.h"

#include "kernels/dispatch.h"

namespace tw {
namespace {

// Checks what the three ops share and returns D.
int64_t check_heads(const char* op, const ConstView& qkv, int64_t heads, int64_t kv_heads) {
  check_rank(op, "qkv", qkv, 4);
  check_dtype(op, "qkv", qkv, {DType::fp32, DType::bf16});
  TW_CHECK(heads >= 1 && kv_heads >= 1 && heads % kv_heads == 0, bug,
           "[{}] heads {} must be a multiple of kv_heads {}", op, heads, kv_heads);
  const int64_t D = qkv.dim(3);
  TW_CHECK(D >= 1, bug, "[{}] the head dimension is {}", op, D);
  check_view(op, "qkv", qkv, {qkv.dim(0), qkv.dim(1), heads + 2 * kv_heads, D}, qkv.dtype);
  return D;
}

void check_starts(const char* op, const ConstView& starts, int64_t B, int64_t T) {
  if (starts) check_view(op, "starts", starts, {B, T}, DType::i32);
}

// Pairs of a query and a key it sees, of one head.
double pairs(const ConstView& qkv, const ConstView& starts) {
  const int64_t B = qkv.dim(0), T = qkv.dim(1);
  if (!starts || !starts.device.is_cpu()) return double(B) * double(T) * double(T + 1) / 2;
  double n = 0;
  const int32_t* start = starts.as<int32_t>();
  for (int64_t i = 0; i < B * T; ++i) n += double(i % T - start[i] + 1);
  return n;
}
// Two products of length D a pair, and a softmax.
OpWork work_of(const AttentionForward& op) {
  return {.flops = pairs(op.qkv, op.starts) * double(op.heads) * (4 * double(op.qkv.dim(3)) + 4),
          .bytes = double(op.qkv.bytes() + op.starts.bytes() + op.out.bytes() + op.lse.bytes()),
          .dtype = op.qkv.dtype};
}
// Five products a pair: without the T x T matrix the scores are made again.
OpWork work_of(const AttentionBackward& op) {
  return {.flops = pairs(op.qkv, op.starts) * double(op.heads) * (10 * double(op.qkv.dim(3)) + 6),
          .bytes = double(2 * op.qkv.bytes() + op.starts.bytes() + 2 * op.out.bytes() + op.lse.bytes()),
          .dtype = op.qkv.dtype};
}
OpWork work_of(const AttentionDecode& op) {
  const double B = double(op.qkv.dim(0)), fresh = double(op.qkv.dim(1)), D = double(op.qkv.dim(3));
  const double read = B * D * double(op.kv_heads) * (double(op.past) + fresh) * 2;  // of both caches
  return {.flops = B * fresh * (double(op.past) + (fresh + 1) / 2) * double(op.heads) * (4 * D + 4),
          .bytes = double(2 * op.out.bytes()) + read * double(size_of(op.qkv.dtype)),
          .dtype = op.qkv.dtype};
}

}  // namespace

void attention_forward(const AttentionForward& op, const Stream& stream) {
  const int64_t D = check_heads("attention_forward", op.qkv, op.heads, op.kv_heads);
  const int64_t B = op.qkv.dim(0), T = op.qkv.dim(1);
  check_view("attention_forward", "out", op.out, {B, T, op.heads, D}, op.qkv.dtype);
  check_view("attention_forward", "lse", op.lse, {B, op.heads, T}, DType::fp32);
  check_starts("attention_forward", op.starts, B, T);
  if (B == 0 || T == 0) return;
  TW_DISPATCH(attention_forward, op, stream);
}

void attention_backward(const AttentionBackward& op, const Stream& stream) {
  const int64_t D = check_heads("attention_backward", op.qkv, op.heads, op.kv_heads);
  const int64_t B = op.qkv.dim(0), T = op.qkv.dim(1);
  check_view("attention_backward", "out", op.out, {B, T, op.heads, D}, op.qkv.dtype);
  check_view("attention_backward", "dout", op.dout, {B, T, op.heads, D}, op.qkv.dtype);
  check_view("attention_backward", "lse", op.lse, {B, op.heads, T}, DType::fp32);
  check_view("attention_backward", "dqkv", op.dqkv, op.qkv.shape, op.qkv.dtype);
  check_starts("attention_backward", op.starts, B, T);
  if (B == 0 || T == 0) return;
  TW_DISPATCH(attention_backward, op, stream);
}

void attention_decode(const AttentionDecode& op, const Stream& stream) {
  const int64_t D = check_heads("attention_decode", op.qkv, op.heads, op.kv_heads);
  const int64_t B = op.qkv.dim(0), T_new = op.qkv.dim(1);
  check_rank("attention_decode", "k_cache", op.k_cache, 4);
  const int64_t T_max = op.k_cache.dim(2);
  check_view("attention_decode", "k_cache", op.k_cache, {B, op.kv_heads, T_max, D}, op.qkv.dtype);
  check_view("attention_decode", "v_cache", op.v_cache, {B, op.kv_heads, T_max, D}, op.qkv.dtype);
  check_view("attention_decode", "out", op.out, {B, T_new, op.heads, D}, op.qkv.dtype);
  TW_CHECK(op.past >= 0 && op.past + T_new <= T_max, bug,
           "[attention_decode] past {} + {} new tokens exceed the cache of {}", op.past, T_new,
           T_max);
  if (B == 0 || T_new == 0) return;
  TW_DISPATCH(attention_decode, op, stream);
}

}  // namespace tw
