// Element-wise ops. Tensors are fp32 or bf16 unless said otherwise; arithmetic is fp32.
#pragma once
#include "src/core/tensor.h"

namespace tw {

// y = gelu(x). tanh form: Hendrycks & Gimpel 2016, arXiv:1606.08415 section 2 ("gelu_new"); else erf.
struct GeluForward {
  ConstView x;  // any shape
  View y;       // x's shape and dtype, overwritten
  bool tanh_form = true;
};
void gelu_forward(const GeluForward& op, const Stream& stream);
struct GeluBackward {
  ConstView x, dy;
  View dx;  // overwritten; may be dy
  bool tanh_form = true;
};
void gelu_backward(const GeluBackward& op, const Stream& stream);

// y = silu(gate) * up, gate and up side by side in one matrix. Shazeer 2020, arXiv:2002.05202.
struct SwigluForward {
  ConstView gate_up;  // (N, 2 F): gate, then up
  View y;             // (N, F), overwritten
};
void swiglu_forward(const SwigluForward& op, const Stream& stream);
struct SwigluBackward {
  ConstView gate_up;  // (N, 2 F)
  ConstView dy;       // (N, F)
  View dgate_up;      // (N, 2 F), overwritten; may be gate_up
};
void swiglu_backward(const SwigluBackward& op, const Stream& stream);

// dbias[c] += sum_n dy[n,c], rows in fixed blocks.
struct BiasBackward {
  ConstView dy;  // (N, C)
  View dbias;    // (C) fp32, added to
};
void bias_backward(const BiasBackward& op, const Stream& stream);

struct Add {
  ConstView a, b;  // one shape, one dtype
  View out;        // overwritten; may be a or b
};
void add(const Add& op, const Stream& stream);

struct Cast {
  ConstView in;  // fp32, bf16 or fp16
  View out;      // the same shape; overwritten
};
void cast(const Cast& op, const Stream& stream);

struct Scale {
  View x;  // fp32, in place
  float factor = 1;
};
void scale(const Scale& op, const Stream& stream);

namespace cpu {
void gelu_forward(const GeluForward& op, const Stream& stream);
void gelu_backward(const GeluBackward& op, const Stream& stream);
void swiglu_forward(const SwigluForward& op, const Stream& stream);
void swiglu_backward(const SwigluBackward& op, const Stream& stream);
void bias_backward(const BiasBackward& op, const Stream& stream);
void add(const Add& op, const Stream& stream);
void cast(const Cast& op, const Stream& stream);
void scale(const Scale& op, const Stream& stream);
}  // namespace cpu
namespace cuda {
void gelu_forward(const GeluForward& op, const Stream& stream);
void gelu_backward(const GeluBackward& op, const Stream& stream);
void swiglu_forward(const SwigluForward& op, const Stream& stream);
void swiglu_backward(const SwigluBackward& op, const Stream& stream);
void bias_backward(const BiasBackward& op, const Stream& stream);
void add(const Add& op, const Stream& stream);
void cast(const Cast& op, const Stream& stream);
void scale(const Scale& op, const Stream& stream);
}  // namespace cuda

}  // namespace tw
