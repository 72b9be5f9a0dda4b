#include "kernels/loss.h"

#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work_of(const CrossEntropy& op) {
  const double values = double(op.logits.dim(0)) * double(op.vocab);
  return {.flops = values * (op.gradient ? 5 : 3),
          .bytes = double(op.logits.bytes() * (op.gradient ? 2 : 1) + op.targets.bytes() + op.losses.bytes()),
          .dtype = op.logits.dtype};
}

}  // namespace

void cross_entropy(const CrossEntropy& op, const Stream& stream) {
  const char* name = "cross_entropy";
  check_rank(name, "logits", op.logits, 2);
  check_dtype(name, "logits", op.logits, {DType::fp32, DType::bf16});
  const int64_t N = op.logits.dim(0);
  TW_CHECK(op.vocab >= 1 && op.vocab <= op.logits.dim(1), bug, "[{}] vocab {} of logits {}", name, op.vocab,
           op.logits.shape.str());
  check_view(name, "targets", op.targets, {N}, DType::i32);
  check_view(name, "losses", op.losses, {N}, DType::fp32);
  TW_DISPATCH(cross_entropy, op, stream);
}

}  // namespace tw
