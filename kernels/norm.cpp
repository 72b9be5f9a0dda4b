#include "kernels/norm.h"

#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work_of(const NormForward& op) {
  return {.flops = double(op.x.count()) * ((op.beta ? 7 : 4) + (op.residual ? 1 : 0)),
          .bytes = double(op.x.bytes() + op.residual.bytes() + op.sum.bytes() + op.gamma.bytes() + op.beta.bytes() +
                          op.y.bytes() + op.mean.bytes() + op.rstd.bytes()),
          .dtype = op.x.dtype};
}
OpWork work_of(const NormBackward& op) {
  return {.flops = double(op.dy.count()) * ((op.mean ? 13 : 9) + (op.dsum ? 1 : 0)),
          .bytes = double(op.dy.bytes() + op.s.bytes() + op.gamma.bytes() + op.mean.bytes() + op.rstd.bytes() +
                          op.dsum.bytes() + op.dx.bytes() + 2 * (op.dgamma.bytes() + op.dbeta.bytes())),
          .dtype = op.dy.dtype};
}

}  // namespace

void norm_forward(const NormForward& op, const Stream& stream) {
  const char* name = "norm_forward";
  check_rank(name, "x", op.x, 2);
  check_dtype(name, "x", op.x, {DType::fp32, DType::bf16});
  const int64_t N = op.x.dim(0), C = op.x.dim(1);
  const DType T = op.x.dtype;
  TW_CHECK(bool(op.residual) == bool(op.sum), bug, "[{}] residual and sum come together", name);
  if (op.residual) check_view(name, "residual", op.residual, {N, C}, T), check_view(name, "sum", op.sum, {N, C}, T);
  check_dtype(name, "gamma", op.gamma, {DType::fp32, T});
  check_view(name, "gamma", op.gamma, {C}, op.gamma.dtype);
  TW_CHECK(bool(op.beta) == bool(op.mean), bug, "[{}] beta and mean come together (layer norm) or not at all", name);
  if (op.beta) check_view(name, "beta", op.beta, {C}, op.gamma.dtype), check_view(name, "mean", op.mean, {N}, DType::fp32);
  check_view(name, "y", op.y, {N, C}, T);
  check_view(name, "rstd", op.rstd, {N}, DType::fp32);
  TW_DISPATCH(norm_forward, op, stream);
}

void norm_backward(const NormBackward& op, const Stream& stream) {
  const char* name = "norm_backward";
  check_rank(name, "dy", op.dy, 2);
  check_dtype(name, "dy", op.dy, {DType::fp32, DType::bf16});
  const int64_t N = op.dy.dim(0), C = op.dy.dim(1);
  const DType T = op.dy.dtype;
  check_view(name, "s", op.s, {N, C}, T);
  check_dtype(name, "gamma", op.gamma, {DType::fp32, T});
  check_view(name, "gamma", op.gamma, {C}, op.gamma.dtype);
  TW_CHECK(bool(op.dbeta) == (op.mean && op.dgamma), bug, "[{}] mean and dbeta come together (layer norm) or not at all, and dbeta with dgamma", name);
  if (op.mean) check_view(name, "mean", op.mean, {N}, DType::fp32);
  if (op.dbeta) check_view(name, "dbeta", op.dbeta, {C}, DType::fp32);
  check_view(name, "rstd", op.rstd, {N}, DType::fp32);
  if (op.dsum) check_view(name, "dsum", op.dsum, {N, C}, T);
  check_view(name, "dx", op.dx, {N, C}, T);
  if (op.dgamma) check_view(name, "dgamma", op.dgamma, {C}, DType::fp32);
  TW_DISPATCH(norm_backward, op, stream);
}

}  // namespace tw
