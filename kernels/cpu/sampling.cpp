#include "kernels/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "src/core/thread_team.h"

namespace tw {
namespace {

int32_t pick(const PickToken& op, int32_t* order, double* weights) {
  const float* logits = op.logits.as<float>();
  const int32_t best = int32_t(std::max_element(logits, logits + op.vocab, [](float a, float b) {
                                 return std::isnan(a) ? !std::isnan(b) : a < b;  // NaN below everything
                               }) - logits);
  if (!std::isfinite(logits[best])) return -1;
  if (op.temperature == 0) return best;

  std::iota(order, order + op.vocab, 0);
  const auto value = [&](int32_t id) {  // sorting needs an order, and NaN has none
    return std::isnan(logits[id]) ? -std::numeric_limits<float>::infinity() : logits[id];
  };
  const auto more_likely = [&](int32_t a, int32_t b) {
    const float x = value(a), y = value(b);
    return x != y ? x > y : a < b;
  };
  const bool cut = op.top_k > 0 && op.top_k < op.vocab;
  const int64_t kept = cut ? op.top_k : op.vocab;
  if (cut) std::partial_sort(order, order + kept, order + op.vocab, more_likely);
  else if (op.top_p < 1) std::sort(order, order + op.vocab, more_likely);

  double sum = 0;
  for (int64_t i = 0; i < kept; ++i) {
    weights[i] = std::exp((double(value(order[i])) - double(logits[best])) / op.temperature);
    sum += weights[i];
  }
  int64_t last = kept;
  if (op.top_p < 1) {
    double reached = 0;
    for (last = 0; last < kept && reached < op.top_p * sum; ++last) reached += weights[last];
    sum = reached;
  }
  double left = op.uniform * sum;
  int32_t possible = best;  // where rounding leaves a rest: the last that may be drawn
  for (int64_t i = 0; i < last; ++i) {
    left -= weights[i];
    if (left < 0) return order[i];
    if (weights[i] > 0) possible = order[i];
  }
  return possible;
}

}  // namespace

void cpu::pick_token(const PickToken& op, const Stream& stream) {
  const size_t vocab = size_t(op.vocab);
  auto* weights = static_cast<double*>(stream.team().workspace(vocab * (sizeof(double) + sizeof(int32_t))));
  op.id.as<int32_t>()[0] = pick(op, reinterpret_cast<int32_t*>(weights + vocab), weights);
}

}  // namespace tw
