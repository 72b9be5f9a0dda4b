// Causal self-attention with grouped key/value heads; rotary positions for Llama.
#pragma once
#include "src/nn/linear.h"

namespace tw {

class Attention {
 public:
  void plan(ArenaPlan& plan, const PassSizes& sizes, const ModelConfig& model, const AdapterConfig& adapters, const std::string& name);
  // cos, sin: (T, D/2) fp32, or empty for learned positions.
  void bind(const Arena& arena, const ParameterViews& parameters, ConstView cos, ConstView sin);

  // x, y (N, C); starts (B, T) i32: where documents begin in their rows (kernels/attention.h), or empty.
  void forward(ConstView x, ConstView starts, View y, const Stream& stream) const;
  // dy (N, C) is read, dx (N, C) overwritten, or empty where nobody needs it; dx may be dy. x and starts are forward's.
  void backward(ConstView x, ConstView starts, ConstView dy, View dx, const Stream& stream) const;

 private:
  std::string name_;
  ModelConfig model_;
  PassSizes sizes_;
  Linear qkv_, out_;
  ConstView cos_, sin_;
  int qkv_id_ = -1, mixed_id_ = -1, lse_id_ = -1, dqkv_id_ = -1, dmixed_id_ = -1;
  View qkv_act_, mixed_, lse_, dqkv_, dmixed_;
};

}  // namespace tw
