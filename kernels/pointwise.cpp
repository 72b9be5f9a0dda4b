#include "kernels/pointwise.h"

#include "kernels/dispatch.h"

namespace tw {
namespace {

void check_same(const char* op, const char* argument, const ConstView& view, const ConstView& like) {
  check_view(op, argument, view, like.shape, like.dtype);
}

OpWork work_of(const GeluForward& op) {
  return {.flops = double(op.x.count()) * (op.tanh_form ? 10 : 5), .bytes = double(op.x.bytes() + op.y.bytes()), .dtype = op.x.dtype};
}
OpWork work_of(const GeluBackward& op) {
  return {.flops = double(op.x.count()) * (op.tanh_form ? 18 : 10),
          .bytes = double(op.x.bytes() + op.dy.bytes() + op.dx.bytes()),
          .dtype = op.x.dtype};
}
OpWork work_of(const SwigluForward& op) {
  return {.flops = 5 * double(op.y.count()), .bytes = double(op.gate_up.bytes() + op.y.bytes()), .dtype = op.y.dtype};
}
OpWork work_of(const SwigluBackward& op) {
  return {.flops = 11 * double(op.dy.count()),
          .bytes = double(op.gate_up.bytes() + op.dy.bytes() + op.dgate_up.bytes()),
          .dtype = op.dy.dtype};
}
OpWork work_of(const BiasBackward& op) {
  return {.flops = double(op.dy.count()), .bytes = double(op.dy.bytes() + 2 * op.dbias.bytes()), .dtype = op.dy.dtype};
}
OpWork work_of(const Add& op) {
  return {.flops = double(op.a.count()), .bytes = double(op.a.bytes() + op.b.bytes() + op.out.bytes()), .dtype = op.a.dtype};
}
OpWork work_of(const Cast& op) { return {.bytes = double(op.in.bytes() + op.out.bytes()), .dtype = op.in.dtype}; }
OpWork work_of(const Scale& op) { return {.flops = double(op.x.count()), .bytes = double(2 * op.x.bytes())}; }

}  // namespace

void gelu_forward(const GeluForward& op, const Stream& stream) {
  check_dtype("gelu_forward", "x", op.x, {DType::fp32, DType::bf16});
  check_same("gelu_forward", "y", op.y, op.x);
  TW_DISPATCH(gelu_forward, op, stream);
}

void gelu_backward(const GeluBackward& op, const Stream& stream) {
  check_dtype("gelu_backward", "x", op.x, {DType::fp32, DType::bf16});
  check_same("gelu_backward", "dy", op.dy, op.x);
  check_same("gelu_backward", "dx", op.dx, op.x);
  TW_DISPATCH(gelu_backward, op, stream);
}

void swiglu_forward(const SwigluForward& op, const Stream& stream) {
  check_rank("swiglu_forward", "gate_up", op.gate_up, 2);
  check_dtype("swiglu_forward", "gate_up", op.gate_up, {DType::fp32, DType::bf16});
  check_view("swiglu_forward", "y", op.y, {op.gate_up.dim(0), op.gate_up.dim(1) / 2}, op.gate_up.dtype);
  TW_CHECK(op.gate_up.dim(1) % 2 == 0, bug, "[swiglu_forward] gate_up {} has no two halves", op.gate_up.shape.str());
  TW_DISPATCH(swiglu_forward, op, stream);
}

void swiglu_backward(const SwigluBackward& op, const Stream& stream) {
  check_rank("swiglu_backward", "gate_up", op.gate_up, 2);
  check_dtype("swiglu_backward", "gate_up", op.gate_up, {DType::fp32, DType::bf16});
  TW_CHECK(op.gate_up.dim(1) % 2 == 0, bug, "[swiglu_backward] gate_up {} has no two halves", op.gate_up.shape.str());
  check_view("swiglu_backward", "dy", op.dy, {op.gate_up.dim(0), op.gate_up.dim(1) / 2}, op.gate_up.dtype);
  check_same("swiglu_backward", "dgate_up", op.dgate_up, op.gate_up);
  TW_DISPATCH(swiglu_backward, op, stream);
}

void bias_backward(const BiasBackward& op, const Stream& stream) {
  check_rank("bias_backward", "dy", op.dy, 2);
  check_dtype("bias_backward", "dy", op.dy, {DType::fp32, DType::bf16});
  check_view("bias_backward", "dbias", op.dbias, {op.dy.dim(1)}, DType::fp32);
  TW_DISPATCH(bias_backward, op, stream);
}

void add(const Add& op, const Stream& stream) {
  check_dtype("add", "a", op.a, {DType::fp32, DType::bf16});
  check_same("add", "b", op.b, op.a);
  check_same("add", "out", op.out, op.a);
  TW_DISPATCH(add, op, stream);
}

void cast(const Cast& op, const Stream& stream) {
  check_dtype("cast", "in", op.in, {DType::fp32, DType::bf16, DType::fp16});
  check_dtype("cast", "out", op.out, {DType::fp32, DType::bf16, DType::fp16});
  check_view("cast", "out", op.out, op.in.shape, op.out.dtype);
  TW_DISPATCH(cast, op, stream);
}

void scale(const Scale& op, const Stream& stream) {
  check_view("scale", "x", op.x, op.x.shape, DType::fp32);
  TW_DISPATCH(scale, op, stream);
}

}  // namespace tw
