// Layer norm (GPT-2) or RMS norm (Llama) over s = x + branch, the residual addition fused in.
#pragma once
#include "src/nn/layer.h"

namespace tw {

class Norm {
 public:
  // keeps_stream: s has memory of its own, whatever sizes.checkpointing says.
  void plan(ArenaPlan& plan, const PassSizes& sizes, const ModelConfig& model, const std::string& name, bool keeps_stream = false);
  void bind(const Arena& arena, const ParameterViews& parameters);

  // s := x (+ branch), y := norm(s). x, branch (N, C); branch may be empty, then s is x itself.
  void forward(ConstView x, ConstView branch, const Stream& stream);
  // y() once more, the same bits, where all norms share its memory and backward wants it again.
  void repeat(const Stream& stream);
  // dresidual := dresidual + gradient of s through the norm. dy, dresidual (N, C). With first = true
  // dresidual is overwritten.
  void backward(ConstView dy, View dresidual, bool first, const Stream& stream) const;

  View s() const { return s_; }    // (N, C), the residual stream here
  View y() const { return y_; }    // (N, C), until the next norm's forward or repeat

 private:
  std::string name_;
  Parameter weight_, bias_;
  bool layer_norm_ = true, kept_ = false;  // kept_: y has memory of its own
  float eps_ = 0;
  int s_id_ = -1, y_id_ = -1, mean_id_ = -1, rstd_id_ = -1;
  View s_, y_, mean_, rstd_;
};

}  // namespace tw
