#include "kernels/rope.h"

#include <cmath>

#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work_of(const Rope& op) {
  const double turned = double(op.qkv.dim(0) * op.qkv.dim(1) * (op.heads + op.kv_heads) * op.qkv.dim(3));
  const double table = double(op.qkv.dim(1) * op.qkv.dim(3)) * sizeof(float);  // half of it cosines
  return {.flops = 3 * turned, .bytes = 2 * turned * double(size_of(op.qkv.dtype)) + table, .dtype = op.qkv.dtype};
}

}  // namespace

void rope_table(double theta, int64_t first, View cos, View sin) {
  check_rank("rope_table", "cos", cos, 2);
  check_view("rope_table", "cos", cos, cos.shape, DType::fp32);
  check_view("rope_table", "sin", sin, cos.shape, DType::fp32);
  const int64_t T = cos.dim(0), half = cos.dim(1);
  for (int64_t i = 0; i < half; ++i) {
    // The frequency is rounded to fp32 first, as the models were trained.
    const float frequency = float(std::pow(theta, -2.0 * double(i) / double(2 * half)));
    for (int64_t t = 0; t < T; ++t) {
      const double angle = double(float(first + t) * frequency);
      cos.as<float>()[t * half + i] = float(std::cos(angle));
      sin.as<float>()[t * half + i] = float(std::sin(angle));
    }
  }
}

void copy_rope_table(double theta, View cos, View sin, const Stream& stream) {
  Tensor host_cos(cos.shape, DType::fp32), host_sin(sin.shape, DType::fp32);
  rope_table(theta, 0, host_cos.view(), host_sin.view());
  copy(host_cos.view(), cos, stream);
  copy(host_sin.view(), sin, stream);
  synchronize(stream);
}

void rope(const Rope& op, const Stream& stream) {
  const char* name = "rope";
  check_rank(name, "qkv", op.qkv, 4);
  check_dtype(name, "qkv", op.qkv, {DType::fp32, DType::bf16});
  TW_CHECK(op.qkv.dim(2) == op.heads + 2 * op.kv_heads && op.qkv.dim(3) % 2 == 0, bug,
           "[rope] qkv {} does not hold {} + 2 x {} heads of even size", op.qkv.shape.str(), op.heads, op.kv_heads);
  check_rank(name, "cos", op.cos, 2);
  TW_CHECK(op.cos.dim(0) >= op.qkv.dim(1), bug, "[rope] cos {} has no {} positions", op.cos.shape.str(), op.qkv.dim(1));
  check_view(name, "cos", op.cos, {op.cos.dim(0), op.qkv.dim(3) / 2}, DType::fp32);
  check_view(name, "sin", op.sin, op.cos.shape, DType::fp32);
  TW_DISPATCH(rope, op, stream);
}

}  // namespace tw
