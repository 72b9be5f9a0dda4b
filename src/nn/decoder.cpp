#include "src/nn/decoder.h"

#include <cmath>
#include <cstring>

#include "kernels/attention.h"
#include "kernels/embedding.h"
#include "kernels/kv_cache.h"
#include "kernels/norm.h"
#include "kernels/pointwise.h"
#include "kernels/rope.h"

namespace tw {

Decoder::Decoder(const ModelConfig& m, const ParameterTable& table, const ModelWeights& weights, int64_t batch, int64_t max_new,
                 int64_t context, const Stream& stream)
    : model_(m), dtype_(weights.dtype()), batch_(batch), max_new_(max_new), context_(context),
      gpt2_(m.type == Architecture::gpt2) {
  TW_CHECK(!gpt2_ || context <= m.max_position_embeddings, config,
           "{} tokens are wanted, but this model has learned positions for {} only", context,
           m.max_position_embeddings);
  const Device device = stream.device();
  const int64_t N = batch * max_new, C = m.hidden_size, F = m.intermediate_size, KV = m.num_key_value_heads;
  ArenaPlan plan;
  const auto add = [&](const char* name, Shape shape) { return plan.add("decoder", name, shape, dtype_); };
  const int s = add("stream", {N, C}), y = add("y", {N, C}), branch = add("branch", {N, C}),
            qkv = add("qkv", {N, m.qkv_size()}), mixed = add("mixed", {N, m.attention_size()}),
            hidden = add("hidden", {N, gpt2_ ? F : 2 * F}), active = add("active", {N, F});
  const int mean = plan.add("decoder", "mean", {N}, DType::fp32), rstd = plan.add("decoder", "rstd", {N}, DType::fp32);
  const int cos = plan.add("decoder", "cos", {context, m.head_dim / 2}, DType::fp32),
            sin = plan.add("decoder", "sin", {context, m.head_dim / 2}, DType::fp32);
  const int ids = device.is_cuda() ? plan.add("decoder", "ids", {batch, max_new}, DType::i32) : -1;
  std::vector<int> caches;
  for (int64_t i = 0; i < 2 * m.num_hidden_layers; ++i)
    caches.push_back(plan.add("cache", "kv", {batch, KV, context, m.head_dim}, dtype_));
  arena_ = Arena(plan, device);
  stream_ = arena_.view(s), y_ = arena_.view(y), branch_ = arena_.view(branch), qkv_ = arena_.view(qkv);
  mixed_ = arena_.view(mixed), hidden_ = arena_.view(hidden), active_ = arena_.view(active);
  if (device.is_cuda()) ids_ = arena_.view(ids);
  if (gpt2_) mean_ = arena_.view(mean);
  rstd_ = arena_.view(rstd);
  if (!gpt2_) {
    cos_ = arena_.view(cos), sin_ = arena_.view(sin);
    copy_rope_table(m.rope_theta, cos_, sin_, stream);
  }

  const ParameterViews parameters(table, weights, View{});
  for (int64_t i = 0; i < m.num_hidden_layers; ++i) {
    const std::string name = "layers." + std::to_string(i) + ".";
    Layer layer;
    layer.attention_norm = parameters(name + "attention_norm.weight");
    layer.mlp_norm = parameters(name + "mlp_norm.weight");
    if (gpt2_) {
      layer.attention_norm_bias = parameters(name + "attention_norm.bias");
      layer.mlp_norm_bias = parameters(name + "mlp_norm.bias");
    }
    layer.qkv.bind(parameters, name + "attention.qkv", gpt2_);
    layer.out.bind(parameters, name + "attention.out", gpt2_);
    layer.up.bind(parameters, name + (gpt2_ ? "mlp.up" : "mlp.gate_up"), gpt2_);
    layer.down.bind(parameters, name + "mlp.down", gpt2_);
    layer.k_cache = arena_.view(caches[size_t(2 * i)]), layer.v_cache = arena_.view(caches[size_t(2 * i + 1)]);
    layers_.push_back(layer);
  }
  tokens_ = parameters("tokens.weight");
  if (gpt2_) positions_ = parameters("positions.weight"), final_norm_bias_ = parameters("final_norm.bias");
  final_norm_ = parameters("final_norm.weight");
  head_ = parameters(m.tie_word_embeddings ? "tokens.weight" : "head.weight");
}

void Decoder::truncate(int64_t past) {
  TW_CHECK(past >= 0 && past <= past_, bug, "a cache of {} tokens cannot be cut to {}", past_, past);
  past_ = past;
}

void Decoder::norm(ConstView x, ConstView branch, View sum, const Parameter& weight, const Parameter& bias, View y,
                   const Stream& stream) {
  const int64_t N = x.dim(0);
  norm_forward({.x = x, .residual = branch, .sum = branch ? sum : View{}, .gamma = weight.value, .beta = bias.value,
                .y = y, .mean = mean_ ? mean_.rows(0, N) : View{}, .rstd = rstd_.rows(0, N),
                .eps = float(model_.norm_eps)},
               stream);
}

void Decoder::forward(ConstView host_ids, View logits, bool last_only, const Stream& stream) {
  const int64_t B = batch_, T = host_ids.dim(1), N = B * T, C = model_.hidden_size, H = model_.num_attention_heads,
                KV = model_.num_key_value_heads, D = model_.head_dim;
  TW_CHECK(host_ids.dim(0) == B && T >= 1 && T <= max_new_, bug, "a decoder of {} x {} tokens was given {}", B, max_new_,
           host_ids.shape.str());
  TW_CHECK(past_ + T <= context_, bug, "{} more tokens do not fit: {} of {} positions are taken", T, past_, context_);
  const View s = stream_.rows(0, N), y = y_.rows(0, N), branch = branch_.rows(0, N), qkv = qkv_.rows(0, N),
             mixed = mixed_.rows(0, N), hidden = hidden_.rows(0, N), active = active_.rows(0, N);
  ConstView ids = host_ids;
  if (ids_) {
    const View device_ids = ids_.reshape({B * max_new_}).flat(0, N).reshape({B, T});
    copy(host_ids, device_ids, stream);
    ids = device_ids;
  }
  embedding_forward({.ids = ids, .tokens = tokens_.value, .token_scales = tokens_.scales, .positions = positions_.value, .x = s.reshape({B, T, C}),
                     .first_position = past_},
                    stream);
  ConstView pending;
  for (const Layer& layer : layers_) {
    norm(s, pending, s, layer.attention_norm, layer.attention_norm_bias, y, stream);
    layer.qkv.forward(y, qkv, stream);
    const View packed = qkv.reshape({B, T, H + 2 * KV, D});
    if (cos_)
      rope({.qkv = packed, .cos = cos_.rows(past_, past_ + T), .sin = sin_.rows(past_, past_ + T), .heads = H,
            .kv_heads = KV},
           stream);
    kv_cache_append({.qkv = packed, .k_cache = layer.k_cache, .v_cache = layer.v_cache, .past = past_, .heads = H,
                     .kv_heads = KV},
                    stream);
    attention_decode({.qkv = packed, .k_cache = layer.k_cache, .v_cache = layer.v_cache,
                      .out = mixed.reshape({B, T, H, D}), .past = past_, .heads = H, .kv_heads = KV,
                      .scale = float(1 / std::sqrt(double(D)))},
                     stream);
    layer.out.forward(mixed, branch, stream);
    norm(s, branch, s, layer.mlp_norm, layer.mlp_norm_bias, y, stream);
    layer.up.forward(y, hidden, stream);
    if (gpt2_) gelu_forward({.x = hidden, .y = active, .tanh_form = model_.hidden_act == "gelu_new"}, stream);
    else swiglu_forward({.gate_up = hidden, .y = active}, stream);
    layer.down.forward(active, branch, stream);
    pending = branch;
  }
  past_ += T;
  norm(s, pending, s, final_norm_, final_norm_bias_, y, stream);
  if (!last_only) {
    project(y, head_, {}, logits, stream);
  } else {
    // The last row of each sequence; for one sequence it is a slice already.
    for (int64_t b = 0; b < B; ++b)
      project(y.rows((b + 1) * T - 1, (b + 1) * T), head_, {}, logits.rows(b, b + 1), stream);
  }
}

}  // namespace tw
