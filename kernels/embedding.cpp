#include "kernels/embedding.h"

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/int8_matmul.h"

namespace tw {
namespace {

void check_starts(const char* op, const ConstView& starts, int64_t B, int64_t T) {
  if (starts) check_view(op, "starts", starts, {B, T}, DType::i32);
}

// Every row of the table is taken as one that was not read before.
OpWork work_of(const EmbeddingForward& op) {
  const size_t rows = size_t(op.ids.count()), row = size_t(op.x.dim(2)) * size_of(op.x.dtype);
  const size_t read = op.token_scales ? rows * size_t(op.tokens.dim(1) + op.token_scales.dim(1) * int64_t(sizeof(bf16))) : op.x.bytes();
  const size_t positions = op.positions ? size_t(op.ids.dim(1)) * row : 0;
  return {.flops = op.positions ? double(op.x.count()) : 0,
          .bytes = double(op.ids.bytes() + op.starts.bytes() + op.x.bytes() + read + positions),
          .dtype = op.tokens.dtype};
}
OpWork work_of(const EmbeddingBackward& op) {
  const double rows = double(std::min(op.ids.count(), op.dtokens.dim(0))), C = double(op.dtokens.dim(1));
  const double positions = op.dpositions ? double(op.ids.dim(1)) * C : 0;
  return {.flops = double(op.dx.count()) * (op.dpositions ? 2 : 1),
          .bytes = double(op.ids.bytes() + op.starts.bytes() + op.dx.bytes()) + 2 * sizeof(float) * (rows * C + positions),
          .dtype = op.dx.dtype};
}

}  // namespace

void embedding_forward(const EmbeddingForward& op, const Stream& stream) {
  const char* name = "embedding_forward";
  check_rank(name, "ids", op.ids, 2);
  check_view(name, "ids", op.ids, op.ids.shape, DType::i32);
  check_rank(name, "tokens", op.tokens, 2);
  check_rank(name, "x", op.x, 3);
  check_dtype(name, "x", op.x, {DType::fp32, DType::bf16});
  const int64_t B = op.ids.dim(0), T = op.ids.dim(1), C = op.x.dim(2), V = op.tokens.dim(0);
  check_view(name, "x", op.x, {B, T, C}, op.x.dtype);
  if (op.token_scales) {
    check_view(name, "tokens", op.tokens, {V, int8_row(C)}, DType::i8);
    check_view(name, "token_scales", op.token_scales, {V, int8_groups(C)}, DType::bf16);
    TW_CHECK(stream.device().is_cpu(), config, "[{}] int8 weights are computed with on a CPU only: run.device = \"cpu\"", name);
  } else {
    check_view(name, "tokens", op.tokens, {V, C}, op.x.dtype);
  }
  if (op.positions) {
    check_rank(name, "positions", op.positions, 2);
    check_view(name, "positions", op.positions, {op.positions.dim(0), C}, op.x.dtype);
    TW_CHECK(op.first_position >= 0 && op.first_position + T <= op.positions.dim(0), bug,
             "[{}] positions {} to {} of {}", name, op.first_position, op.first_position + T, op.positions.dim(0));
  }
  check_starts(name, op.starts, B, T);
  TW_CHECK(!op.starts || op.first_position == 0, bug, "[{}] documents that begin at position {}", name, op.first_position);
  TW_DISPATCH(embedding_forward, op, stream);
}

void embedding_backward(const EmbeddingBackward& op, const Stream& stream) {
  const char* name = "embedding_backward";
  check_rank(name, "ids", op.ids, 2);
  check_view(name, "ids", op.ids, op.ids.shape, DType::i32);
  check_rank(name, "dtokens", op.dtokens, 2);
  check_dtype(name, "dx", op.dx, {DType::fp32, DType::bf16});
  const int64_t B = op.ids.dim(0), T = op.ids.dim(1), C = op.dtokens.dim(1);
  check_view(name, "dx", op.dx, {B, T, C}, op.dx.dtype);
  check_starts(name, op.starts, B, T);
  check_view(name, "dtokens", op.dtokens, op.dtokens.shape, DType::fp32);
  if (op.dpositions) {
    check_rank(name, "dpositions", op.dpositions, 2);
    check_view(name, "dpositions", op.dpositions, {op.dpositions.dim(0), C}, DType::fp32);
    TW_CHECK(T <= op.dpositions.dim(0), bug, "[{}] {} tokens, {} positions", name, T, op.dpositions.dim(0));
  }
  TW_DISPATCH(embedding_backward, op, stream);
}

}  // namespace tw
