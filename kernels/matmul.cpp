#include "kernels/matmul.h"

#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work_of(const MatMul& op) {
  const double M = double(op.out.dim(0)), N = double(op.out.dim(1));
  const int64_t K = op.a.dim(op.transpose_a ? 0 : 1);
  const char* form = op.epilogue == Epilogue::gelu            ? (op.transpose_b ? "gelu(a b^T)" : "gelu(a b)")
                     : op.epilogue == Epilogue::gelu_backward ? (op.transpose_b ? "a b^T gelu'" : "a b gelu'")
                     : op.transpose_a                         ? (op.transpose_b ? "a^T b^T" : "a^T b")
                     : op.transpose_b                         ? "a b^T"
                                                              : "a b";
  return {.flops = 2 * M * N * double(K),
          .bytes = double(op.a.bytes() + op.b.bytes() + op.bias.bytes() + op.aux.bytes() + 2 * op.dbias.bytes() + op.out.bytes() * (op.accumulate ? 2 : 1)),
          .dtype = op.a.dtype,
          .shape = {op.out.dim(0), op.out.dim(1), K},
          .form = form};
}

}  // namespace

void matmul(const MatMul& op, const Stream& stream) {
  check_rank("matmul", "a", op.a, 2);
  check_rank("matmul", "b", op.b, 2);
  check_rank("matmul", "out", op.out, 2);
  const int64_t M = op.a.dim(op.transpose_a ? 1 : 0), K = op.a.dim(op.transpose_a ? 0 : 1);
  const int64_t N = op.b.dim(op.transpose_b ? 0 : 1);
  check_dtype("matmul", "a", op.a, {DType::fp32, DType::bf16});
  check_dtype("matmul", "out", op.out, {DType::fp32, DType::bf16});
  check_view("matmul", "a", op.a, op.transpose_a ? Shape{K, M} : Shape{M, K}, op.a.dtype);
  check_view("matmul", "b", op.b, op.transpose_b ? Shape{N, K} : Shape{K, N}, op.a.dtype);
  check_view("matmul", "out", op.out, {M, N}, op.out.dtype);
  if (op.bias) {
    if (op.bias.dtype != op.a.dtype)
      check_dtype("matmul", "bias", op.bias, {DType::fp32, op.a.dtype});
    check_view("matmul", "bias", op.bias, {N}, op.bias.dtype);
  }
  if (op.epilogue != Epilogue::none) {
    TW_CHECK(!op.accumulate && !(op.bias && op.epilogue == Epilogue::gelu_backward), bug,
             "[matmul] an epilogue goes neither with accumulate nor, backward, with a bias");
    check_view("matmul", "aux", op.aux, {M, N}, op.out.dtype);
  }
  if (op.dbias) check_view("matmul", "dbias", op.dbias, {N}, DType::fp32);
  if (M == 0 || N == 0) return;
  TW_DISPATCH(matmul, op, stream);
}

}  // namespace tw
