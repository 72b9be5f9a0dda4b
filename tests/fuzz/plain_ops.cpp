// The ops that a codec of pictures decodes by, in plain loops: kernels/ is GCC's, and libFuzzer clang's. Nothing is trained here.
#include "kernels/conv2d.h"
#include "kernels/fill.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise.h"
#include "src/nn/int8_weights.h"

#include <algorithm>
#include <cmath>

namespace tw {
namespace {

// visit(places in y, x and weight) of what is multiplied.
template <class Visit>
void for_products(const ConstView& x, const ConstView& weight, const ConstView& y, int stride, int padding, Visit visit) {
  const int64_t R = weight.dim(1), S = weight.dim(2), C = x.dim(3), O = y.dim(3);
  for (int64_t m = 0; m < y.dim(0) * y.dim(1) * y.dim(2); ++m)
    for (int64_t t = 0; t < R * S; ++t) {
      const int64_t h = m / y.dim(2) % y.dim(1) * stride - padding + t / S, w = m % y.dim(2) * stride - padding + t % S;
      if (h < 0 || h >= x.dim(1) || w < 0 || w >= x.dim(2)) continue;
      for (int64_t o = 0; o < O; ++o)
        for (int64_t c = 0; c < C; ++c) visit(m * O + o, ((m / (y.dim(1) * y.dim(2)) * x.dim(1) + h) * x.dim(2) + w) * C + c, (o * R * S + t) * C + c);
    }
}

void start(View out, const ConstView& bias) {
  float* to = out.as<float>();
  for (int64_t i = 0; i < out.count(); ++i) to[i] = bias ? bias.as<float>()[i % bias.count()] : 0.0f;
}

}  // namespace

void conv2d(const Conv2d& op, const Stream&) {
  start(op.y, op.bias);
  const float *x = op.x.as<float>(), *weight = op.weight.as<float>();
  float* y = op.y.as<float>();
  for_products(op.x, op.weight, op.y, op.stride, op.padding, [&](int64_t at, int64_t from, int64_t place) { y[at] += x[from] * weight[place]; });
}
void conv2d_transpose(const Conv2dTranspose& op, const Stream&) {
  start(op.x, op.bias);
  const float *y = op.y.as<float>(), *weight = op.weight.as<float>();
  float* x = op.x.as<float>();
  for_products(op.x, op.weight, op.y, op.stride, op.padding, [&](int64_t from, int64_t to, int64_t place) { x[to] += y[from] * weight[place]; });
}
void gelu_forward(const GeluForward& op, const Stream&) {
  const float* x = op.x.as<float>();
  for (int64_t i = 0; i < op.x.count(); ++i) op.y.as<float>()[i] = 0.5f * x[i] * (1 + std::tanh(0.7978846f * (x[i] + 0.044715f * x[i] * x[i] * x[i])));
}
void add(const Add& op, const Stream&) {
  for (int64_t i = 0; i < op.a.count(); ++i) op.out.as<float>()[i] = op.a.as<float>()[i] + op.b.as<float>()[i];
}

#define TW_UNUSED(Op, function) \
  void function(const Op&, const Stream&) { TW_FAIL(bug, "[{}] nothing is trained here", #function); }
TW_UNUSED(Conv2dWeightGradient, conv2d_weight_gradient)
TW_UNUSED(GeluBackward, gelu_backward)
TW_UNUSED(BiasBackward, bias_backward)
TW_UNUSED(Zero, zero)
TW_UNUSED(AdamW, adamw)
Parameter Int8Weights::operator()(const std::string&) const { TW_FAIL(bug, "there are no weights in 8 bits here"); }

}  // namespace tw
