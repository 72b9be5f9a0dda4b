#include "src/nn/mlp.h"

#include "kernels/pointwise.h"

namespace tw {

void Mlp::plan(ArenaPlan& plan, const PassSizes& sizes, const ModelConfig& model, const std::string& name) {
  name_ = name;
  gelu_ = model.type == Architecture::gpt2;
  tanh_form_ = model.hidden_act == "gelu_new";
  training_ = sizes.training;
  const int64_t N = sizes.rows(), F = model.intermediate_size;
  hidden_id_ = plan_activation(plan, sizes, name + ".", "hidden", {N, gelu_ ? F : 2 * F}, sizes.dtype);
  active_id_ = plan_activation(plan, sizes, name + ".", "active", {N, F}, sizes.dtype);
  if (training_) dactive_id_ = plan.add_shared("scratch", "wide", name + ".dactive", {N, F}, sizes.dtype);
}

void Mlp::bind(const Arena& arena, const ParameterViews& parameters) {
  up_.bind(parameters, name_ + (gelu_ ? ".up" : ".gate_up"), gelu_);
  down_.bind(parameters, name_ + ".down", gelu_);
  hidden_ = arena.view(hidden_id_), active_ = arena.view(active_id_);
  if (training_) dactive_ = arena.view(dactive_id_);
}

void Mlp::forward(ConstView x, View y, const Stream& stream) const {
  up_.forward(x, hidden_, stream);
  if (gelu_) gelu_forward({.x = hidden_, .y = active_, .tanh_form = tanh_form_}, stream);
  else swiglu_forward({.gate_up = hidden_, .y = active_}, stream);
  down_.forward(active_, y, stream);
}

void Mlp::backward(ConstView x, ConstView dy, View dx, const Stream& stream) const {
  down_.backward(active_, dy, dactive_, stream);
  if (gelu_) {
    gelu_backward({.x = hidden_, .dy = dactive_, .dx = dactive_, .tanh_form = tanh_form_}, stream);
    up_.backward(x, dactive_, dx, stream);
  } else {
    swiglu_backward({.gate_up = hidden_, .dy = dactive_, .dgate_up = hidden_}, stream);
    up_.backward(x, hidden_, dx, stream);
  }
}

}  // namespace tw
