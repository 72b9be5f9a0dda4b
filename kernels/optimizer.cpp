#include "kernels/optimizer.h"

#include <cmath>

#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work_of(const AdamW& op) {
  return {.flops = 15 * double(op.param.count()),
          .bytes = double(2 * (op.param.bytes() + op.m.bytes() + op.v.bytes()) + op.gradient.bytes() +
                          op.decayed.bytes() + op.copy.bytes()),
          .streamed = true};
}
OpWork work_of(const RoundByChance& op) {
  return {.flops = double(op.param.count()), .bytes = double(op.param.bytes() + op.copy.bytes()), .streamed = true};
}
OpWork work_of(const SumOfSquares& op) {
  return {.flops = 2 * double(op.x.count()), .bytes = double(op.x.bytes() + op.sums.bytes()), .streamed = true};
}
OpWork work_of(const TreeSum& op) {
  return {.flops = double((op.parts.dim(0) - 1) * op.parts.dim(1)), .bytes = double(op.parts.bytes() + op.out.bytes())};
}

}  // namespace

AdamWFactors adamw_factors(const AdamW& op) {
  const double correction1 = 1 - std::pow(double(op.beta1), double(op.step));
  const double correction2 = 1 - std::pow(double(op.beta2), double(op.step));
  return {op.gradient_scale,
          op.beta1,
          op.beta2,
          float(1 - double(op.beta1)),
          float(1 - double(op.beta2)),
          float(double(op.lr) / correction1),
          float(1 / std::sqrt(correction2)),
          op.eps,
          float(1 - double(op.lr) * double(op.weight_decay))};
}

void adamw(const AdamW& op, const Stream& stream) {
  const char* name = "adamw";
  check_rank(name, "param", op.param, 1);
  const int64_t n = op.param.dim(0);
  TW_CHECK(n % kParameterBlock == 0, bug, "[adamw] {} elements are no multiple of {}", n, kParameterBlock);
  TW_CHECK(op.step >= 1, bug, "[adamw] step {} must be 1 or more", op.step);
  check_view(name, "param", op.param, {n}, DType::fp32);
  check_view(name, "m", op.m, {n}, DType::fp32);
  check_view(name, "v", op.v, {n}, DType::fp32);
  check_view(name, "gradient", op.gradient, {n}, DType::fp32);
  check_view(name, "decayed", op.decayed, {n / kParameterBlock}, DType::u8);
  if (op.copy) check_view(name, "copy", op.copy, {n}, DType::bf16);
  if (op.sums) check_view(name, "sums", op.sums, {kAdamWSums}, DType::i64);
  TW_CHECK(op.first % kParameterBlock == 0, bug, "[adamw] place {} is no multiple of {}", op.first, kParameterBlock);
  TW_DISPATCH(adamw, op, stream);
}

void round_by_chance(const RoundByChance& op, const Stream& stream) {
  const char* name = "round_by_chance";
  check_rank(name, "param", op.param, 1);
  const int64_t n = op.param.dim(0);
  TW_CHECK(n % kParameterBlock == 0 && op.first % kParameterBlock == 0, bug, "[{}] {} elements from {} are not whole blocks of {}", name, n,
           op.first, kParameterBlock);
  check_view(name, "param", op.param, {n}, DType::fp32);
  check_view(name, "copy", op.copy, {n}, DType::bf16);
  TW_DISPATCH(round_by_chance, op, stream);
}

void sum_of_squares(const SumOfSquares& op, const Stream& stream) {
  const char* name = "sum_of_squares";
  check_rank(name, "x", op.x, 1);
  check_rank(name, "sums", op.sums, 1);
  check_view(name, "x", op.x, op.x.shape, DType::fp32);
  check_view(name, "sums", op.sums, op.sums.shape, DType::fp64);
  TW_CHECK(op.sums.dim(0) >= 1 && op.x.dim(0) % (op.sums.dim(0) * kParameterBlock) == 0, bug,
           "[sum_of_squares] {} elements are no multiple of {} parts of {}", op.x.dim(0), op.sums.dim(0), kParameterBlock);
  TW_DISPATCH(sum_of_squares, op, stream);
}

void tree_sum(const TreeSum& op, const Stream& stream) {
  const char* name = "tree_sum";
  check_rank(name, "parts", op.parts, 2);
  TW_CHECK(op.parts.dim(0) >= 1, bug, "[tree_sum] nothing to add");
  check_view(name, "parts", op.parts, op.parts.shape, DType::fp32);
  check_view(name, "out", op.out, {op.parts.dim(1)}, DType::fp32);
  TW_DISPATCH(tree_sum, op, stream);
}

}  // namespace tw
