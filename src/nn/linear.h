// y = x W^T + b, with or without a low-rank adapter beside W.
#pragma once
#include "src/nn/adapter.h"

namespace tw {

// y (N, out) := x (N, in) W^T (+ b), W of the compute dtype or in 8 bits; fp32 or the compute dtype. b: (out), or empty.
void project(ConstView x, const Parameter& weight, ConstView bias, View y, const Stream& stream);

struct Linear {
  Parameter weight;  // (out, in)
  Parameter bias;    // (out), or empty
  std::optional<Adapter> adapter;

  void bind(const ParameterViews& parameters, const std::string& name, bool with_bias);
  void bind(const Arena& arena, const ParameterViews& parameters, const std::string& name, bool with_bias);  // and its adapter
  // x (N, in), y (N, out) overwritten.
  void forward(ConstView x, View y, const Stream& stream) const;
  // y = gelu(v), v = x W^T + b (N, out) overwritten too.
  void forward_gelu(ConstView x, View v, View y, bool tanh_form, const Stream& stream) const;
  // dx (N, in) overwritten, or empty where nobody needs it; may be x. bias_too = false: the bias' gradient is added already. Frozen weights and
  // biases have no gradient, and no product is made for one.
  void backward(ConstView x, ConstView dy, View dx, const Stream& stream, bool bias_too = true) const;
  // Where x = gelu(v): dv := gradient at v (N, in), may be x; its columns' sums are added to dbias, if there is one.
  void backward_gelu(ConstView x, ConstView dy, View v, View dv, View dbias, bool tanh_form, const Stream& stream) const;
};

}  // namespace tw
