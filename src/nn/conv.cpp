#include "src/nn/conv.h"

#include "kernels/conv2d.h"
#include "kernels/pointwise.h"

namespace tw {
namespace {

void add_bias_gradient(ConstView dy, const Parameter& bias, const Stream& stream) {
  const int64_t C = bias.gradient.count();
  bias_backward({.dy = dy.reshape({dy.count() / C, C}), .dbias = bias.gradient}, stream);
}

}  // namespace

void Conv::bind(const ParameterViews& parameters, const std::string& name) { weight = parameters(name + ".weight"), bias = parameters(name + ".bias"); }

void Conv::forward(ConstView x, View y, const Stream& stream) const {
  conv2d({.x = x, .weight = weight.value, .bias = bias.value, .y = y, .stride = stride, .padding = padding}, stream);
}

void Conv::backward(ConstView x, ConstView dy, View dx, const Stream& stream) const {
  conv2d_weight_gradient({.x = x, .dy = dy, .dweight = weight.gradient, .stride = stride, .padding = padding}, stream);
  add_bias_gradient(dy, bias, stream);
  if (dx) conv2d_transpose({.y = dy, .weight = weight.value, .bias = {}, .x = dx, .stride = stride, .padding = padding}, stream);
}

void ConvTranspose::bind(const ParameterViews& parameters, const std::string& name) { weight = parameters(name + ".weight"), bias = parameters(name + ".bias"); }

void ConvTranspose::forward(ConstView x, View y, const Stream& stream) const {
  conv2d_transpose({.y = x, .weight = weight.value, .bias = bias.value, .x = y, .stride = stride, .padding = padding}, stream);
}

void ConvTranspose::backward(ConstView x, ConstView dy, View dx, const Stream& stream) const {
  conv2d_weight_gradient({.x = dy, .dy = x, .dweight = weight.gradient, .stride = stride, .padding = padding}, stream);
  add_bias_gradient(dy, bias, stream);
  if (dx) conv2d({.x = dy, .weight = weight.value, .bias = {}, .y = dx, .stride = stride, .padding = padding}, stream);
}

void ConvResidual::add_parameters(ParameterTable& table, const std::string& name, int64_t channels) {
  table.add(name + ".in.weight", {channels, 3, 3, channels}, Init::normal);
  table.add(name + ".in.bias", {channels}, Init::zero);
  table.add(name + ".back.weight", {channels, 1, 1, channels}, Init::scaled_normal);
  table.add(name + ".back.bias", {channels}, Init::zero);
}

void ConvResidual::plan(ArenaPlan& plan, const Shape& shape, bool training, const std::string& name, const std::string& stage) {
  name_ = name;
  const auto activation = [&](const char* what) {
    return training ? plan.add("activations", name + "." + what, shape, DType::fp32) : plan.add_shared("activations", stage + "." + what, name + "." + what, shape, DType::fp32);
  };
  out_id_ = activation("out"), hidden_id_ = activation("hidden"), active_id_ = activation("active");
  if (training) gradient_id_ = plan.add_shared("scratch", stage + ".gradient", name + ".gradient", shape, DType::fp32);
}

void ConvResidual::bind(const Arena& arena, const ParameterViews& parameters) {
  in_.padding = 1;
  in_.bind(parameters, name_ + ".in"), back_.bind(parameters, name_ + ".back");
  out_ = arena.view(out_id_), hidden_ = arena.view(hidden_id_), active_ = arena.view(active_id_);
  if (gradient_id_ >= 0) gradient_ = arena.view(gradient_id_);
}

void ConvResidual::forward(ConstView x, const Stream& stream) const {
  in_.forward(x, hidden_, stream);
  gelu_forward({.x = hidden_, .y = active_}, stream);
  // Where x and y are one, the sum's other part is made in the place of the hidden values.
  const View other = x.data == out_.data ? hidden_ : out_;
  back_.forward(active_, other, stream);
  add({.a = x, .b = other, .out = out_}, stream);
}

void ConvResidual::backward(ConstView x, ConstView dy, View dx, const Stream& stream) const {
  back_.backward(active_, dy, gradient_, stream);
  gelu_backward({.x = hidden_, .dy = gradient_, .dx = gradient_}, stream);
  in_.backward(x, gradient_, dx, stream);
  add({.a = dx, .b = dy, .out = dx}, stream);
}

}  // namespace tw
