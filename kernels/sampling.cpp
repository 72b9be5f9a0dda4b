#include "kernels/sampling.h"

#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work_of(const PickToken& op) {
  return {.flops = 3 * double(op.vocab), .bytes = double(op.vocab) * sizeof(float) + double(op.id.bytes())};
}

}  // namespace

void pick_token(const PickToken& op, const Stream& stream) {
  check_dtype("pick_token", "logits", op.logits, {DType::fp32});
  check_view("pick_token", "id", op.id, {1}, DType::i32);
  TW_CHECK(op.vocab >= 1 && op.vocab <= op.logits.count(), bug, "[pick_token] vocab {} of logits {}", op.vocab, op.logits.shape.str());
  TW_CHECK(op.temperature >= 0 && op.top_k >= 0 && op.top_p > 0 && op.top_p <= 1 && op.uniform >= 0 && op.uniform < 1, bug,
           "[pick_token] temperature {}, top_k {}, top_p {}, uniform {}", op.temperature, op.top_k, op.top_p, op.uniform);
  TW_DISPATCH(pick_token, op, stream);
}

}  // namespace tw
