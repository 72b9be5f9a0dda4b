// Layers of pictures: activations are (B, H, W, C), fp32.
#pragma once
#include "src/nn/layer.h"

namespace tw {

// y = x * W + b (kernels/conv2d.h). W: (out, size, size, in).
struct Conv {
  Parameter weight, bias;
  int stride = 1, padding = 0;

  void bind(const ParameterViews& parameters, const std::string& name);
  void forward(ConstView x, View y, const Stream& stream) const;
  void backward(ConstView x, ConstView dy, View dx, const Stream& stream) const;  // dx overwritten, or empty where nobody needs it
};

// The transposed convolution: y is `stride` times as large. W: (in, size, size, out).
struct ConvTranspose {
  Parameter weight, bias;
  int stride = 1, padding = 0;

  void bind(const ParameterViews& parameters, const std::string& name);
  void forward(ConstView x, View y, const Stream& stream) const;
  void backward(ConstView x, ConstView dy, View dx, const Stream& stream) const;
};

// y = x + conv1x1(gelu(conv3x3(x))), as many channels as x. He et al. 2016, arXiv:1603.05027 section 4, without norms.
class ConvResidual {
 public:
  static void add_parameters(ParameterTable& table, const std::string& name, int64_t channels);
  // shape (B, H, W, C); layers of one `stage` have it in common, and what none keeps for backward.
  void plan(ArenaPlan& plan, const Shape& shape, bool training, const std::string& name, const std::string& stage);
  void bind(const Arena& arena, const ParameterViews& parameters);
  View out() const noexcept { return out_; }  // forward's y; where nothing is kept the memory of x
  void forward(ConstView x, const Stream& stream) const;
  void backward(ConstView x, ConstView dy, View dx, const Stream& stream) const;  // dx overwritten

 private:
  std::string name_;
  Conv in_, back_;
  int out_id_ = -1, hidden_id_ = -1, active_id_ = -1, gradient_id_ = -1;
  View out_, hidden_, active_, gradient_;  // hidden_: before the activation; gradient_: at active_
};

}  // namespace tw
