#include "src/nn/adapter.h"

#include "kernels/matmul.h"

namespace tw {

std::optional<AdapterShape> adapter_shape(const ModelConfig& m, const AdapterConfig& config, std::string_view layer) {
  if (!config.any()) return std::nullopt;
  const bool attention = layer.starts_with("attention.");
  if (config.targets != AdapterTargets::all && attention != (config.targets == AdapterTargets::attention)) return std::nullopt;
  const bool llama = m.type == Architecture::llama;
  const int64_t C = m.hidden_size, F = m.intermediate_size, q = m.attention_size(), kv = m.num_key_value_heads * m.head_dim;
  AdapterShape s{.rank = config.rank, .scale = config.scale()};
  // Parts as Hugging Face's layers are: GPT-2's qkv is one.
  if (layer == "attention.qkv") {
    s.out = m.qkv_size(), s.in = C;
    s.parts = llama ? AdapterParts{3, {q, q + kv, s.out}} : AdapterParts{1, {s.out}};
  } else if (layer == "attention.out") {
    s.out = C, s.in = q, s.parts = {1, {C}};
  } else if (layer == "mlp.gate_up" && llama) {
    s.out = 2 * F, s.in = C, s.parts = {2, {F, 2 * F}};
  } else if (layer == "mlp.up" && !llama) {
    s.out = F, s.in = C, s.parts = {1, {F}};
  } else if (layer == "mlp.down") {
    s.out = C, s.in = F, s.parts = {1, {C}};
  } else {
    TW_FAIL(bug, "a {} model has no linear layer {}", name_of(m.type), layer);
  }
  return s;
}

std::vector<std::string> adapted_layers(const ModelConfig& model, const AdapterConfig& config) {
  std::vector<std::string> all;
  for (const char* layer : {"attention.qkv", "attention.out", model.type == Architecture::gpt2 ? "mlp.up" : "mlp.gate_up", "mlp.down"})
    if (adapter_shape(model, config, layer)) all.push_back(layer);
  return all;
}

ParameterTable adapter_table(const ModelConfig& model, const AdapterConfig& config) {
  config.check();
  ParameterTable table;
  for (int64_t i = 0; i < model.num_hidden_layers; ++i)
    for (const std::string& layer : adapted_layers(model, config)) {
      const AdapterShape s = *adapter_shape(model, config, layer);
      const std::string name = "layers." + std::to_string(i) + "." + layer;
      table.add(name + ".lora_a", {s.wide(), s.in}, Init::inner);
      table.add(name + ".lora_b", {s.out, s.rank}, Init::zero);
    }
  return table;
}

void merge_adapters(const ModelConfig& model, const AdapterConfig& config, const ParameterTable& table, View weights, ConstView adapters,
                    const Stream& stream) {
  const ParameterTable trained = adapter_table(model, config);
  const auto of = [](const ParameterTable& from, auto flat, const std::string& name) {
    const ParameterInfo& p = from[name];
    return flat.flat(p.offset, p.offset + p.count()).reshape(p.shape);
  };
  for (int64_t i = 0; i < model.num_hidden_layers; ++i)
    for (const std::string& layer : adapted_layers(model, config)) {
      const AdapterShape s = *adapter_shape(model, config, layer);
      const std::string name = "layers." + std::to_string(i) + "." + layer;
      Tensor spread({s.out, s.wide()}, DType::fp32);
      adapter_spread({.b = of(trained, adapters, name + ".lora_b"), .spread = spread.view(), .parts = s.parts, .scale = s.scale}, stream);
      matmul({.a = spread.view(), .b = of(trained, adapters, name + ".lora_a"), .out = of(table, weights, name + ".weight"), .accumulate = true}, stream);
    }
}

Adapter::Adapter(ArenaPlan& plan, const PassSizes& sizes, const std::string& name, const AdapterShape& shape)
    : name_(name), shape_(shape), training_(sizes.training) {
  const auto add = [&](const char* what, Shape of, DType dtype) {
    return plan.add_shared("scratch", std::string("adapter.") + what, name + ".adapter." + what, of, dtype);
  };
  inner_id_ = add("inner", {sizes.rows(), shape.wide()}, sizes.dtype);
  spread_id_ = add("spread", {shape.out, shape.wide()}, sizes.dtype);
  if (!training_) return;
  dinner_id_ = add("dinner", {sizes.rows(), shape.wide()}, sizes.dtype);
  dspread_id_ = add("dspread", {shape.out, shape.wide()}, DType::fp32);
}

void Adapter::bind(const Arena& arena, const ParameterViews& parameters) {
  a_ = parameters(name_ + ".lora_a"), b_ = parameters(name_ + ".lora_b");
  inner_ = arena.view(inner_id_), spread_ = arena.view(spread_id_);
  if (training_) dinner_ = arena.view(dinner_id_), dspread_ = arena.view(dspread_id_);
}

void Adapter::project(ConstView x, const Stream& stream) const {
  matmul({.a = x, .b = a_.value, .out = inner_, .transpose_b = true}, stream);
  adapter_spread({.b = b_.value, .spread = spread_, .parts = shape_.parts, .scale = shape_.scale}, stream);
}

void Adapter::add_output(ConstView x, View y, const Stream& stream) const {
  project(x, stream);
  matmul({.a = inner_, .b = spread_, .out = y, .transpose_b = true, .accumulate = true}, stream);
}

// x A^T is computed once more: to keep it would take memory for every layer.
void Adapter::backward(ConstView x, ConstView dy, const Stream& stream) const {
  project(x, stream);
  matmul({.a = dy, .b = inner_, .out = dspread_, .transpose_a = true}, stream);
  adapter_gather({.dspread = dspread_, .db = b_.gradient, .parts = shape_.parts, .scale = shape_.scale}, stream);
  matmul({.a = dy, .b = spread_, .out = dinner_}, stream);
  matmul({.a = dinner_, .b = x, .out = a_.gradient, .transpose_a = true, .accumulate = true}, stream);
}

void Adapter::add_input_gradient(View dx, const Stream& stream) const {
  matmul({.a = dinner_, .b = a_.value, .out = dx, .accumulate = true}, stream);
}

}  // namespace tw
