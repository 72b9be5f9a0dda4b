#include "src/nn/mlp.h"

#include "kernels/pointwise.h"

namespace tw {

void Mlp::plan(ArenaPlan& plan, const PassSizes& sizes, const ModelConfig& model, const AdapterConfig& adapters, const std::string& name) {
  name_ = name;
  gelu_ = model.type == Architecture::gpt2;
  tanh_form_ = model.hidden_act == "gelu_new";
  const int64_t N = sizes.rows(), F = model.intermediate_size;
  hidden_id_ = plan_activation(plan, sizes, name + ".", "hidden", {N, gelu_ ? F : 2 * F}, sizes.dtype);
  kept_ = sizes.training && sizes.checkpointing != Checkpointing::selective;
  active_id_ = kept_ && sizes.checkpointing == Checkpointing::none
                   ? plan.add("activations", name + ".active", {N, F}, sizes.dtype)
                   : plan.add_shared("scratch", "wide", name + ".active", {N, F}, sizes.dtype);
  const std::string up = gelu_ ? "up" : "gate_up";
  if (const auto shape = adapter_shape(model, adapters, "mlp." + up)) up_.adapter.emplace(plan, sizes, name + "." + up, *shape);
  if (const auto shape = adapter_shape(model, adapters, "mlp.down")) down_.adapter.emplace(plan, sizes, name + ".down", *shape);
}

void Mlp::bind(const Arena& arena, const ParameterViews& parameters) {
  up_.bind(arena, parameters, name_ + (gelu_ ? ".up" : ".gate_up"), gelu_);
  down_.bind(arena, parameters, name_ + ".down", gelu_);
  hidden_ = arena.view(hidden_id_), active_ = arena.view(active_id_);
}

void Mlp::enter(ConstView x, const Stream& stream) const {
  if (gelu_) return up_.forward_gelu(x, hidden_, active_, tanh_form_, stream);
  up_.forward(x, hidden_, stream);
  swiglu_forward({.gate_up = hidden_, .y = active_}, stream);
}

void Mlp::forward(ConstView x, View y, const Stream& stream) const {
  enter(x, stream);
  down_.forward(active_, y, stream);
}

void Mlp::repeat(ConstView x, const Stream& stream) { enter(x, stream); }

void Mlp::backward(ConstView x, ConstView dy, View dx, const Stream& stream) const {
  if (!kept_ && gelu_) gelu_forward({.x = hidden_, .y = active_, .tanh_form = tanh_form_}, stream);
  if (!kept_ && !gelu_) swiglu_forward({.gate_up = hidden_, .y = active_}, stream);
  const View dactive = active_;  // the weight's gradient is taken before its place is overwritten
  if (gelu_) {
    down_.backward_gelu(active_, dy, hidden_, dactive, up_.bias.gradient, tanh_form_, stream);
    up_.backward(x, dactive, dx, stream, false);
  } else {
    down_.backward(active_, dy, dactive, stream);
    swiglu_backward({.gate_up = hidden_, .dy = dactive, .dgate_up = hidden_}, stream);
    up_.backward(x, hidden_, dx, stream);
  }
}

}  // namespace tw
