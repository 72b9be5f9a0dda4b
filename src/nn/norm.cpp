#include "src/nn/norm.h"

#include "kernels/norm.h"

namespace tw {

void Norm::plan(ArenaPlan& plan, const PassSizes& sizes, const ModelConfig& model, const std::string& name, bool keeps_stream) {
  name_ = name;
  layer_norm_ = model.type == Architecture::gpt2;
  eps_ = float(model.norm_eps);
  const int64_t N = sizes.rows(), C = model.hidden_size;
  // The residual stream must outlive the branch beside it, so two shared blocks alternate when nothing
  // is kept: names that end alike share.
  const std::string stream = name.find("mlp_norm") != std::string::npos ? "s_even" : "s_odd";
  s_id_ = keeps_stream && sizes.training ? plan.add("activations", name + "." + stream, {N, C}, sizes.dtype)
                                         : plan_activation(plan, sizes, name + ".", stream, {N, C}, sizes.dtype);
  kept_ = sizes.training && sizes.checkpointing == Checkpointing::none;
  y_id_ = kept_ ? plan.add("activations", name + ".y", {N, C}, sizes.dtype)
                : plan.add_shared("scratch", "normalised", name + ".y", {N, C}, sizes.dtype);
  if (layer_norm_) mean_id_ = plan_activation(plan, sizes, name + ".", "mean", {N}, DType::fp32);
  rstd_id_ = plan_activation(plan, sizes, name + ".", "rstd", {N}, DType::fp32);
}

void Norm::bind(const Arena& arena, const ParameterViews& parameters) {
  weight_ = parameters(name_ + ".weight");
  if (layer_norm_) bias_ = parameters(name_ + ".bias");
  s_ = arena.view(s_id_);
  y_ = arena.view(y_id_);
  if (layer_norm_) mean_ = arena.view(mean_id_);
  rstd_ = arena.view(rstd_id_);
}

void Norm::forward(ConstView x, ConstView branch, const Stream& stream) {
  const bool add = bool(branch);
  norm_forward({.x = x, .residual = branch, .sum = add ? s_ : View{}, .gamma = weight_.value, .beta = bias_.value,
                .y = y_, .mean = mean_, .rstd = rstd_, .eps = eps_},
               stream);
}

void Norm::repeat(const Stream& stream) {
  if (kept_) return;
  norm_forward({.x = s_, .gamma = weight_.value, .beta = bias_.value, .y = y_, .mean = mean_, .rstd = rstd_, .eps = eps_}, stream);
}

void Norm::backward(ConstView dy, View dresidual, bool first, const Stream& stream) const {
  norm_backward({.dy = dy, .s = s_, .gamma = weight_.value, .mean = mean_, .rstd = rstd_,
                 .dsum = first ? ConstView{} : ConstView(dresidual), .dx = dresidual, .dgamma = weight_.gradient,
                 .dbeta = bias_.gradient},
                stream);
}

}  // namespace tw
