#include "kernels/int8_matmul.h"

#include "kernels/cpu/matmul.h"
#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work_of(const Int8MatMul& op) {
  const int64_t M = op.a.dim(0), K = op.a.dim(1), N = op.out.dim(1);
  return {.flops = 2 * double(M) * double(N) * double(K),
          .bytes = double(op.a.bytes() + op.values.bytes() + op.scales.bytes() + op.bias.bytes() + op.out.bytes()),
          .dtype = op.a.dtype,
          .shape = {M, N, K},
          .form = "a b^T"};
}

void check_cpu(const char* op, const Stream& stream) {
  TW_CHECK(stream.device().is_cpu(), config, "[{}] int8 weights are computed with on a CPU only: run.device = \"cpu\"", op);
}

}  // namespace

void quantize_int8(const QuantizeInt8& op, const Stream& stream) {
  const char* name = "quantize_int8";
  check_cpu(name, stream);
  check_rank(name, "weights", op.weights, 2);
  const int64_t N = op.weights.dim(0), K = op.weights.dim(1);
  check_view(name, "weights", op.weights, {N, K}, DType::fp32);
  check_view(name, "values", op.values, {N, int8_row(K)}, DType::i8);
  check_view(name, "scales", op.scales, {N, int8_groups(K)}, DType::bf16);
  cpu::quantize_int8(op, stream);
}

void int8_matmul(const Int8MatMul& op, const Stream& stream) {
  const char* name = "int8_matmul";
  check_cpu(name, stream);
  check_rank(name, "a", op.a, 2);
  check_rank(name, "out", op.out, 2);
  const int64_t M = op.a.dim(0), K = op.a.dim(1), N = op.out.dim(1);
  check_dtype(name, "a", op.a, {DType::fp32, DType::bf16});
  check_dtype(name, "out", op.out, {DType::fp32, DType::bf16});
  check_view(name, "values", op.values, {N, int8_row(K)}, DType::i8);
  check_view(name, "scales", op.scales, {N, int8_groups(K)}, DType::bf16);
  check_view(name, "out", op.out, {M, N}, op.out.dtype);
  if (op.bias) {
    if (op.bias.dtype != op.a.dtype) check_dtype(name, "bias", op.bias, {DType::fp32, op.a.dtype});
    check_view(name, "bias", op.bias, {N}, op.bias.dtype);
  }
  if (M > cpu::kFewRows) {
    check_dtype(name, "scratch", op.scratch, {DType::u8});
    TW_CHECK(op.scratch.count() >= int8_scratch(K), bug, "[{}] scratch of {} bytes where {} are wanted", name, op.scratch.count(),
             int8_scratch(K));
  }
  if (M == 0 || N == 0) return;
  TW_PROBED(int8_matmul, op, stream, cpu::int8_matmul(op, stream));
}

}  // namespace tw
