#include "src/nn/mlp.h"

#include "kernels/pointwise.h"

namespace tw {

void Mlp::plan(ArenaPlan& plan, const PassSizes& sizes, const ModelConfig& model, const std::string& name) {
  name_ = name;
  gelu_ = model.type == Architecture::gpt2;
  tanh_form_ = model.hidden_act == "gelu_new";
  const int64_t N = sizes.rows(), F = model.intermediate_size;
  hidden_id_ = plan_activation(plan, sizes, name + ".", "hidden", {N, gelu_ ? F : 2 * F}, sizes.dtype);
  active_id_ = plan.add_shared("scratch", "wide", name + ".active", {N, F}, sizes.dtype);
}

void Mlp::bind(const Arena& arena, const ParameterViews& parameters) {
  up_.bind(parameters, name_ + (gelu_ ? ".up" : ".gate_up"), gelu_);
  down_.bind(parameters, name_ + ".down", gelu_);
  hidden_ = arena.view(hidden_id_), active_ = arena.view(active_id_);
}

void Mlp::activate(const Stream& stream) const {
  if (gelu_) gelu_forward({.x = hidden_, .y = active_, .tanh_form = tanh_form_}, stream);
  else swiglu_forward({.gate_up = hidden_, .y = active_}, stream);
}

void Mlp::forward(ConstView x, View y, const Stream& stream) const {
  up_.forward(x, hidden_, stream);
  activate(stream);
  down_.forward(active_, y, stream);
}

void Mlp::backward(ConstView x, ConstView dy, View dx, const Stream& stream) const {
  activate(stream);
  const View dactive = active_;  // the weight's gradient is taken before its place is overwritten
  down_.backward(active_, dy, dactive, stream);
  if (gelu_) {
    gelu_backward({.x = hidden_, .dy = dactive, .dx = dactive, .tanh_form = tanh_form_}, stream);
    up_.backward(x, dactive, dx, stream);
  } else {
    swiglu_backward({.gate_up = hidden_, .dy = dactive, .dgate_up = hidden_}, stream);
    up_.backward(x, hidden_, dx, stream);
  }
}

}  // namespace tw
