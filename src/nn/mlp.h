// The feed-forward half of a block: GELU (GPT-2) or SwiGLU (Llama).
#pragma once
#include "src/nn/linear.h"

namespace tw {

class Mlp {
 public:
  void plan(ArenaPlan& plan, const PassSizes& sizes, const ModelConfig& model, const AdapterConfig& adapters, const std::string& name);
  void bind(const Arena& arena, const ParameterViews& parameters);

  void forward(ConstView x, View y, const Stream& stream) const;  // x, y (N, C)
  // What backward needs of forward, once more.
  void repeat(ConstView x, const Stream& stream);
  // dy (N, C) is read, dx (N, C) overwritten; x is forward's input. The saved hidden values are used up.
  void backward(ConstView x, ConstView dy, View dx, const Stream& stream) const;

 private:
  void enter(ConstView x, const Stream& stream) const;  // as far as active_
  std::string name_;
  bool gelu_ = true, tanh_form_ = true, kept_ = false;  // kept_: active_ is there when backward begins
  Linear up_, down_;
  int hidden_id_ = -1, active_id_ = -1;
  View hidden_;   // (N, F), or (N, 2 F) with SwiGLU: before the activation
  View active_;   // (N, F): after it; with selective checkpointing shared by all layers, backward makes it again from hidden_
};

}  // namespace tw
