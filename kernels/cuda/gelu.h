// Hendrycks & Gimpel 2016, arXiv:1606.08415 section 2.
#pragma once
#include "kernels/cuda/ptx.h"

namespace tw::cuda {

// (1 + tanh u) / 2 is the logistic function of 2 u, (1 + erf z) / 2 is erfc(-z) / 2: both keep their digits far below zero.
__device__ inline float gelu_gate(float x, bool tanh_form) {
  if (tanh_form) return 1.f / (1.f + expf(-1.5957691216057308f * (x + 0.044715f * x * x * x)));
  return 0.5f * erfcf(x * -0.7071067811865476f);
}
__device__ inline float gelu(float x, bool tanh_form) { return x * gelu_gate(x, tanh_form); }
__device__ inline float gelu_slope(float x, bool tanh_form) {
  const float gate = gelu_gate(x, tanh_form);
  if (tanh_form) return gate + x * gate * (1.f - gate) * 1.5957691216057308f * (1.f + 3.f * 0.044715f * x * x);
  return gate + x * 0.3989422804014327f * expf(-0.5f * x * x);
}

}  // namespace tw::cuda
