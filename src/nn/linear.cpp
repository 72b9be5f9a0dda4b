#include "src/nn/linear.h"

#include "kernels/int8_matmul.h"
#include "kernels/matmul.h"
#include "kernels/pointwise.h"

namespace tw {

void project(ConstView x, const Parameter& weight, ConstView bias, View y, const Stream& stream) {
  if (weight.scales)
    int8_matmul({.a = x, .values = weight.value, .scales = weight.scales, .out = y, .bias = bias, .scratch = weight.scratch}, stream);
  else
    matmul({.a = x, .b = weight.value, .out = y, .bias = bias, .transpose_b = true}, stream);
}

void Linear::bind(const ParameterViews& parameters, const std::string& name, bool with_bias) {
  weight = parameters(name + ".weight");
  if (with_bias) bias = parameters(name + ".bias");
}

void Linear::bind(const Arena& arena, const ParameterViews& parameters, const std::string& name, bool with_bias) {
  bind(parameters, name, with_bias);
  if (adapter) adapter->bind(arena, parameters);
}

void Linear::forward(ConstView x, View y, const Stream& stream) const {
  project(x, weight, bias.value, y, stream);
  if (adapter) adapter->add_output(x, y, stream);
}

void Linear::forward_gelu(ConstView x, View v, View y, bool tanh_form, const Stream& stream) const {
  if (weight.scales || adapter) {
    forward(x, v, stream);
    return gelu_forward({.x = v, .y = y, .tanh_form = tanh_form}, stream);
  }
  matmul({.a = x, .b = weight.value, .out = y, .bias = bias.value, .transpose_b = true, .epilogue = Epilogue::gelu, .aux = v,
          .tanh_form = tanh_form},
         stream);
}

void Linear::backward_gelu(ConstView x, ConstView dy, View v, View dv, View dbias, bool tanh_form, const Stream& stream) const {
  if (adapter) {
    TW_CHECK(!dbias, bug, "a bias is trained beside an adapter");
    backward(x, dy, dv, stream);
    return gelu_backward({.x = v, .dy = dv, .dx = dv, .tanh_form = tanh_form}, stream);
  }
  backward(x, dy, View{}, stream);
  matmul({.a = dy, .b = weight.value, .out = dv, .epilogue = Epilogue::gelu_backward, .aux = v, .tanh_form = tanh_form, .dbias = dbias},
         stream);
}

void Linear::backward(ConstView x, ConstView dy, View dx, const Stream& stream, bool bias_too) const {
  if (adapter) adapter->backward(x, dy, stream);
  if (weight.gradient) matmul({.a = dy, .b = x, .out = weight.gradient, .transpose_a = true, .accumulate = true}, stream);
  if (bias.gradient && bias_too) bias_backward({.dy = dy, .dbias = bias.gradient}, stream);
  if (!dx) return;
  matmul({.a = dy, .b = weight.value, .out = dx}, stream);
  if (adapter) adapter->add_input_gradient(dx, stream);
}

}  // namespace tw
