#include "src/nn/attention.h"

#include <cmath>

#include "kernels/attention.h"
#include "kernels/rope.h"

namespace tw {

void Attention::plan(ArenaPlan& plan, const PassSizes& sizes, const ModelConfig& model, const AdapterConfig& adapters, const std::string& name) {
  name_ = name, model_ = model, sizes_ = sizes;
  const int64_t N = sizes.rows();
  qkv_id_ = plan_activation(plan, sizes, name + ".", "qkv", {N, model.qkv_size()}, sizes.dtype);
  mixed_id_ = plan_activation(plan, sizes, name + ".", "mixed", {N, model.attention_size()}, sizes.dtype);
  lse_id_ = plan_activation(plan, sizes, name + ".", "lse",
                            {sizes.batch, model.num_attention_heads, sizes.seq_len}, DType::fp32);
  if (const auto shape = adapter_shape(model, adapters, "attention.qkv")) qkv_.adapter.emplace(plan, sizes, name + ".qkv", *shape);
  if (const auto shape = adapter_shape(model, adapters, "attention.out")) out_.adapter.emplace(plan, sizes, name + ".out", *shape);
  if (!sizes.training) return;
  dqkv_id_ = plan.add_shared("scratch", "wide", name + ".dqkv", {N, model.qkv_size()}, sizes.dtype);
  dmixed_id_ = plan.add_shared("scratch", "mixed", name + ".dmixed", {N, model.attention_size()}, sizes.dtype);
}

void Attention::bind(const Arena& arena, const ParameterViews& parameters, ConstView cos, ConstView sin) {
  const bool bias = model_.type == Architecture::gpt2;
  qkv_.bind(arena, parameters, name_ + ".qkv", bias);
  out_.bind(arena, parameters, name_ + ".out", bias);
  cos_ = cos, sin_ = sin;
  qkv_act_ = arena.view(qkv_id_), mixed_ = arena.view(mixed_id_), lse_ = arena.view(lse_id_);
  if (sizes_.training) dqkv_ = arena.view(dqkv_id_), dmixed_ = arena.view(dmixed_id_);
}

void Attention::forward(ConstView x, ConstView starts, View y, const Stream& stream) const {
  const int64_t B = sizes_.batch, T = sizes_.seq_len, H = model_.num_attention_heads, KV = model_.num_key_value_heads,
                D = model_.head_dim;
  qkv_.forward(x, qkv_act_, stream);
  const View packed = qkv_act_.reshape({B, T, H + 2 * KV, D});
  if (cos_) rope({.qkv = packed, .cos = cos_, .sin = sin_, .heads = H, .kv_heads = KV}, stream);
  attention_forward({.qkv = packed, .starts = starts, .out = mixed_.reshape({B, T, H, D}), .lse = lse_, .heads = H,
                     .kv_heads = KV, .scale = float(1 / std::sqrt(double(D)))},
                    stream);
  out_.forward(mixed_, y, stream);
}

void Attention::backward(ConstView x, ConstView starts, ConstView dy, View dx, const Stream& stream) const {
  const int64_t B = sizes_.batch, T = sizes_.seq_len, H = model_.num_attention_heads, KV = model_.num_key_value_heads,
                D = model_.head_dim;
  out_.backward(mixed_, dy, dmixed_, stream);
  const View dpacked = dqkv_.reshape({B, T, H + 2 * KV, D});
  attention_backward({.qkv = qkv_act_.reshape({B, T, H + 2 * KV, D}), .starts = starts,
                      .out = mixed_.reshape({B, T, H, D}), .dout = dmixed_.reshape({B, T, H, D}), .lse = lse_, .dqkv = dpacked, .heads = H, .kv_heads = KV,
                      .scale = float(1 / std::sqrt(double(D)))},
                     stream);
  if (cos_)
    rope({.qkv = dpacked, .cos = cos_, .sin = sin_, .heads = H, .kv_heads = KV, .backward = true}, stream);
  qkv_.backward(x, dqkv_, dx, stream);
}

}  // namespace tw
