// Two-dimensional convolution of pictures whose channels stand last, fp32 (what the field calls so: the kernel is not turned round):
//   y[b, i, j, o] = bias[o] + sum_{r, s, c} x[b, i * stride - padding + r, j * stride - padding + s, c] * weight[o, r, s, c]
// where x is zero beyond its border, and its two gradients. Dumoulin & Visin 2016, arXiv:1603.07285 sections 2 and 4.
// Bits depend neither on the number of threads nor, but for the weights' gradient, on the other pictures of the batch: each
// sum is made in an order that the kernel's shape alone decides.
#pragma once
#include "src/core/tensor.h"

namespace tw {

struct Conv2d {
  ConstView x;       // (B, H, W, C)
  ConstView weight;  // (O, R, S, C)
  ConstView bias;    // (O) or empty
  View y;            // (B, I, J, O), overwritten: I = (H + 2 padding - R) / stride + 1 rounded down, J alike
  int stride = 1, padding = 0;
};
void conv2d(const Conv2d& op, const Stream& stream);

// The gradient at x, given that at y. With a bias also the forward pass of a transposed convolution, which makes pictures larger.
struct Conv2dTranspose {
  ConstView y;       // (B, I, J, O)
  ConstView weight;  // (O, R, S, C)
  ConstView bias;    // (C) or empty
  View x;            // (B, H, W, C), overwritten; the convolution of x has y's shape
  int stride = 1, padding = 0;
};
void conv2d_transpose(const Conv2dTranspose& op, const Stream& stream);

// dweight[o, r, s, c] += sum_{b, i, j} dy[b, i, j, o] * x[b, i * stride - padding + r, j * stride - padding + s, c]
struct Conv2dWeightGradient {
  ConstView x;   // (B, H, W, C)
  ConstView dy;  // (B, I, J, O)
  View dweight;  // (O, R, S, C), added to
  int stride = 1, padding = 0;
};
void conv2d_weight_gradient(const Conv2dWeightGradient& op, const Stream& stream);

namespace cpu {
void conv2d(const Conv2d& op, const Stream& stream);
void conv2d_transpose(const Conv2dTranspose& op, const Stream& stream);
void conv2d_weight_gradient(const Conv2dWeightGradient& op, const Stream& stream);
}  // namespace cpu
namespace cuda {
void conv2d(const Conv2d& op, const Stream& stream);
void conv2d_transpose(const Conv2dTranspose& op, const Stream& stream);
void conv2d_weight_gradient(const Conv2dWeightGradient& op, const Stream& stream);
}  // namespace cuda

}  // namespace tw
