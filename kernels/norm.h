// Layer norm and RMS norm, each with the residual addition before it fused in.
//   s[n,:] = x[n,:] (+ residual[n,:])
//   layer norm: y = gamma * (s - mean) * rstd + beta,  rstd = 1/sqrt(var + eps), var biased (1/C)
//   RMS norm:   y = gamma * s * rstd,                  rstd = 1/sqrt(mean(s^2) + eps)
// Ba, Kiros & Hinton 2016, arXiv:1607.06450 section 3; Zhang & Sennrich 2019, arXiv:1910.07467.
// Activations are fp32 or bf16 (one dtype a call); statistics are fp32, variance in two passes.
#pragma once
#include "src/core/tensor.h"

namespace tw {

struct NormForward {
  ConstView x;         // (N, C)
  ConstView residual;  // (N, C) or empty
  View sum;            // (N, C), overwritten with s; required with residual, else empty; may be x or residual
  ConstView gamma;     // (C), fp32 or x's dtype
  ConstView beta;      // (C), gamma's dtype; empty = RMS norm
  View y;              // (N, C), overwritten
  View mean;           // (N) fp32, overwritten; empty for RMS norm
  View rstd;           // (N) fp32, overwritten
  float eps = 1e-5f;
};
void norm_forward(const NormForward& op, const Stream& stream);

struct NormBackward {
  ConstView dy;        // (N, C)
  ConstView s;         // (N, C), the normalised input
  ConstView gamma;     // (C)
  ConstView mean;      // (N) fp32; empty = RMS norm
  ConstView rstd;      // (N) fp32
  ConstView dsum;      // (N, C) or empty: gradient that reaches s on the residual path
  View dx;             // (N, C), overwritten with norm gradient + dsum; may be dsum or dy
  View dgamma;         // (C) fp32, added to; empty where gamma and beta are not trained
  View dbeta;          // (C) fp32, added to; empty for RMS norm and without dgamma
};
void norm_backward(const NormBackward& op, const Stream& stream);

namespace cpu {
void norm_forward(const NormForward& op, const Stream& stream);
void norm_backward(const NormBackward& op, const Stream& stream);
}  // namespace cpu
namespace cuda {
void norm_forward(const NormForward& op, const Stream& stream);
void norm_backward(const NormBackward& op, const Stream& stream);
}  // namespace cuda

}  // namespace tw
