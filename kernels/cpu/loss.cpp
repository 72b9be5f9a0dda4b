#include "kernels/loss.h"

#include <cmath>

#include "kernels/cpu/vector.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

// Loss of one row; with gradient the row becomes softmax - one-hot.
template <class T>
float row_loss(T* logits, int64_t vocab, int64_t padded, int32_t target, bool gradient) {
  const int64_t body = vocab / kLanes * kLanes;
  Vf top = fill(-__builtin_inff());
  for (int64_t v = 0; v < body; v += kLanes) top = larger(top, load(logits + v));
  float high = max(top);
  for (int64_t v = body; v < vocab; ++v) high = float(logits[v]) > high ? float(logits[v]) : high;
  const float at_target = float(logits[target]);
  const Vf shift = fill(high);
  Vf total = fill(0);
  for (int64_t v = 0; v < body; v += kLanes) {
    const Vf e = exp_of_score(load(logits + v) - shift);  // NaN stays NaN, so a damaged row shows in its loss
    if (gradient && sizeof(T) == 4) store(logits + v, e);
    total = total + e;
  }
  const Vf tail = body < vocab ? exp_of_score(load_some(logits + body, vocab - body, -__builtin_inff()) - shift) : fill(0);
  float denominator = sum(total);
  for (int64_t v = body; v < vocab; ++v) denominator += tail[v - body];
  const float loss = std::log(denominator) + high - at_target;
  if (!gradient) return loss;
  const Vf scale = fill(1.0f / denominator);
  for (int64_t v = 0; v < body; v += kLanes) {
    const Vf e = sizeof(T) == 4 ? load(logits + v) : exp_of_score(load(logits + v) - shift);
    store(logits + v, e * scale);
  }
  if (body < vocab) store_some(logits + body, vocab - body, tail * scale);
  for (int64_t v = vocab; v < padded; ++v) logits[v] = T(0.0f);
  // From the logit itself: in bf16 a rounded probability near 1 would leave nothing.
  logits[target] = T(std::expm1(-loss));
  return loss;
}

template <class T>
void run(const CrossEntropy& op, const Stream& stream) {
  const int64_t N = op.logits.dim(0), padded = op.logits.dim(1);
  T* logits = op.logits.as<T>();
  const int32_t* targets = op.targets.as<int32_t>();
  float* losses = op.losses.as<float>();
  for (int64_t n = 0; n < N; ++n)
    TW_CHECK(targets[n] == kIgnoredTarget || (targets[n] >= 0 && targets[n] < op.vocab), data,
             "target {} is {}, but the vocabulary has {} tokens", n, targets[n], op.vocab);
  parallel_blocks(stream, N, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      T* row = logits + n * padded;
      if (targets[n] != kIgnoredTarget) {
        losses[n] = row_loss(row, op.vocab, padded, targets[n], op.gradient);
        continue;
      }
      losses[n] = 0;
      if (op.gradient)
        for (int64_t v = 0; v < padded; ++v) row[v] = T(0.0f);
    }
  });
}

}  // namespace

void cross_entropy(const CrossEntropy& op, const Stream& stream) {
  op.logits.dtype == DType::bf16 ? run<bf16>(op, stream) : run<float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT(cross_entropy, CrossEntropy)
