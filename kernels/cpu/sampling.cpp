#include "kernels/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "src/core/thread_team.h"

namespace tw {
namespace {

constexpr int64_t kAtOnce = 4096;  // weights of one item of work

// order, weights: memory for vocab each.
int32_t pick(const PickToken& op, int32_t* order, double* weights, const Stream& stream) {
  const float* logits = op.logits.as<float>();
  const int32_t best = int32_t(std::max_element(logits, logits + op.vocab, [](float a, float b) {
                                 return std::isnan(a) ? !std::isnan(b) : a < b;  // NaN below everything
                               }) - logits);
  if (!std::isfinite(logits[best])) return -1;
  if (op.temperature == 0) return best;

  const auto value = [&](int32_t id) {  // sorting needs an order, and NaN has none
    return std::isnan(logits[id]) ? -std::numeric_limits<float>::infinity() : logits[id];
  };
  parallel_blocks(stream, op.vocab, kAtOnce, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      order[i] = int32_t(i);
      weights[i] = std::exp((double(value(int32_t(i))) - double(logits[best])) / op.temperature);
    }
  });
  const auto more_likely = [&](int32_t a, int32_t b) {
    const float x = value(a), y = value(b);
    return x != y ? x > y : a < b;
  };
  int64_t kept = op.vocab;
  double sum = 0;
  if (op.top_k > 0 && op.top_k < op.vocab) {
    kept = op.top_k;
    std::partial_sort(order, order + kept, order + op.vocab, more_likely);
    for (int64_t i = 0; i < kept; ++i) sum += weights[order[i]];
  } else {
    for (int64_t i = 0; i < op.vocab; ++i) sum += weights[i];
    if (op.top_p < 1) {
      // All tokens lighter than this together are half of what may be left out: only the others are put in order.
      const double least = (1 - op.top_p) / 2 * sum / double(op.vocab);
      kept = std::partition(order, order + op.vocab, [&](int32_t id) { return weights[id] >= least; }) - order;
      std::sort(order, order + kept, more_likely);
    }
  }
  int64_t last = kept;
  if (op.top_p < 1) {
    double reached = 0;
    for (last = 0; last < kept && reached < op.top_p * sum; ++last) reached += weights[order[last]];
    sum = reached;
  }
  double left = op.uniform * sum;
  int32_t possible = best;  // where rounding leaves a rest: the last that may be drawn
  for (int64_t i = 0; i < last; ++i) {
    left -= weights[order[i]];
    if (left < 0) return order[i];
    if (weights[order[i]] > 0) possible = order[i];
  }
  return possible;
}

}  // namespace

void cpu::pick_token(const PickToken& op, const Stream& stream) {
  const size_t vocab = size_t(op.vocab);
  auto* weights = static_cast<double*>(stream.team().workspace(vocab * (sizeof(double) + sizeof(int32_t))));
  op.id.as<int32_t>()[0] = pick(op, reinterpret_cast<int32_t*>(weights + vocab), weights, stream);
}

}  // namespace tw
