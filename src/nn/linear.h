// y = x W^T + b.
#pragma once
#include "src/nn/layer.h"

namespace tw {

struct Linear {
  Parameter weight;  // (out, in)
  Parameter bias;    // (out), or empty

  void bind(const ParameterViews& parameters, const std::string& name, bool with_bias);
  // x (N, in), y (N, out) overwritten.
  void forward(ConstView x, View y, const Stream& stream) const;
  // dx (N, in) overwritten, or empty where nobody needs it; may be x.
  void backward(ConstView x, ConstView dy, View dx, const Stream& stream) const;
};

}  // namespace tw
