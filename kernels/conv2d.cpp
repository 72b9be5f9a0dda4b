#include "kernels/conv2d.h"

#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work(ConstView x, ConstView weight, ConstView y, ConstView bias, bool added, const char* form) {
  const double M = double(y.dim(0) * y.dim(1) * y.dim(2));
  return {.flops = 2 * M * double(weight.count()),
          .bytes = double(x.bytes() + weight.bytes() * (added ? 2 : 1) + y.bytes() + bias.bytes()),
          .shape = {y.dim(0) * y.dim(1) * y.dim(2), weight.dim(0), weight.dim(1) * weight.dim(2) * weight.dim(3)},
          .form = form};
}
OpWork work_of(const Conv2d& op) { return work(op.x, op.weight, op.y, op.bias, false, "conv2d"); }
OpWork work_of(const Conv2dTranspose& op) { return work(op.x, op.weight, op.y, op.bias, false, "conv2d^T"); }
OpWork work_of(const Conv2dWeightGradient& op) { return work(op.x, op.dweight, op.dy, {}, true, "conv2d dW"); }

// All of a convolution of x that gives y.
void check(const char* name, ConstView x, const char* y_name, ConstView y, const char* weight_name, ConstView weight, int stride, int padding) {
  check_rank(name, "x", x, 4);
  check_rank(name, weight_name, weight, 4);
  check_view(name, "x", x, x.shape, DType::fp32);
  TW_CHECK(stride >= 1 && padding >= 0, bug, "[{}] a stride of {} and a padding of {}", name, stride, padding);
  const int64_t O = weight.dim(0), R = weight.dim(1), S = weight.dim(2), C = x.dim(3), H = x.dim(1) + 2 * padding, W = x.dim(2) + 2 * padding;
  check_view(name, weight_name, weight, {O, R, S, C}, DType::fp32);
  TW_CHECK(O >= 1 && C >= 1 && R >= 1 && S >= 1 && padding < R && padding < S && H >= R && W >= S, bug,
           "[{}] a kernel {} with a padding of {} over {}", name, weight.shape.str(), padding, x.shape.str());
  check_view(name, y_name, y, {x.dim(0), (H - R) / stride + 1, (W - S) / stride + 1, O}, DType::fp32);
}

}  // namespace

void conv2d(const Conv2d& op, const Stream& stream) {
  check("conv2d", op.x, "y", op.y, "weight", op.weight, op.stride, op.padding);
  if (op.bias) check_view("conv2d", "bias", op.bias, {op.y.dim(3)}, DType::fp32);
  if (op.y.count() == 0) return;
  TW_DISPATCH(conv2d, op, stream);
}

void conv2d_transpose(const Conv2dTranspose& op, const Stream& stream) {
  check("conv2d_transpose", op.x, "y", op.y, "weight", op.weight, op.stride, op.padding);
  if (op.bias) check_view("conv2d_transpose", "bias", op.bias, {op.x.dim(3)}, DType::fp32);
  if (op.x.count() == 0) return;
  TW_DISPATCH(conv2d_transpose, op, stream);
}

void conv2d_weight_gradient(const Conv2dWeightGradient& op, const Stream& stream) {
  check("conv2d_weight_gradient", op.x, "dy", op.dy, "dweight", op.dweight, op.stride, op.padding);
  if (op.dy.count() == 0) return;
  TW_DISPATCH(conv2d_weight_gradient, op, stream);
}

}  // namespace tw
