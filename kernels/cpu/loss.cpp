#include "kernels/loss.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/vector_loop.h"

TW_SIMD_BEGIN
namespace {

constexpr int64_t kChunk = 2048;  // columns; small enough to stay in the first cache between two looks

// The largest of `count` logits, NaN passed over; in bf16 they are also widened into `to`.
template <class T>
TW_INLINE float largest(const T* x, int64_t count, float* to) {
  Vf top[4];
  for (Vf& t : top) t = fill(-__builtin_inff());
  for_vectors_in_slots(count, [&](int64_t i, auto n, int slot) TW_STEP {
    const Vf v = get(x + i, n, -__builtin_inff());
    if constexpr (sizeof(T) != sizeof(float)) put(to + i, n, v);
    top[slot] = larger(v, top[slot]);  // the second one where the first is NaN
  });
  float high = -__builtin_inff();
  for (const Vf& t : top) high = std::max(high, max(t));
  return high;
}

// Loss of one row; with gradient the row becomes softmax - one-hot. The row is read once for maximum
// and sum (Milakov & Gimelshein 2018, arXiv:1805.02867: the sum is scaled when a larger maximum
// turns up, here once a chunk), which leaves the exponentials in `e`; a second reading scales them.
// e: (vocab) fp32, the row itself in fp32. tops: one number a chunk.
template <class T>
float row_loss(T* logits, float* e, float* tops, int64_t vocab, int64_t padded, int32_t target, bool gradient) {
  const float at_target = float(logits[target]);
  float high = -__builtin_inff();
  double total = 0;
  for (int64_t begin = 0; begin < vocab; begin += kChunk) {
    const int64_t count = std::min(kChunk, vocab - begin);
    const T* from = logits + begin;
    float* to = sizeof(T) == sizeof(float) || gradient ? e + begin : e;
    const float before = high;
    high = std::max(high, largest(from, count, to));  // the sum does not pass over NaN
    // While all is -inf any finite shift is right.
    const float shift = high == -__builtin_inff() ? 0.0f : high;
    if (high > before) total *= std::exp(double(before) - double(shift));
    const Vf about = fill(shift);
    Slots sums;
    if (gradient) {
      for_vectors_in_slots(count, [&](int64_t i, auto n, int slot) TW_STEP {
        const Vf v = exp_of_score(get(static_cast<const float*>(to) + i, n, -__builtin_inff()) - about);
        put(to + i, n, v);
        sums.v[slot] += v;
      });
    } else {
      for_vectors_in_slots(count, [&](int64_t i, auto n, int slot) TW_STEP {
        sums.v[slot] += exp_of_score(get(static_cast<const float*>(to) + i, n, -__builtin_inff()) - about);
      });
    }
    total += double(sums.total());
    tops[begin / kChunk] = high;
  }
  // The difference of the two large numbers first: it is exact where the target is near the top.
  const float loss = float(std::log(total) + (double(high) - double(at_target)));
  if (!gradient) return loss;
  // Probabilities this small are cut to 0: subnormal numbers are slow in the products that follow.
  const Vf least = fill(1e-30f), none = fill(0);
  for (int64_t begin = 0; begin < vocab; begin += kChunk) {
    const int64_t count = std::min(kChunk, vocab - begin);
    const Vf factor = fill(float(std::exp(double(tops[begin / kChunk]) - double(high)) / total));
    const float* from = e + begin;
    T* to = logits + begin;
    for_vectors(count, [=](int64_t i, auto n) TW_STEP {
      const Vf v = get(from + i, n) * factor;
      put(to + i, n, v < least ? none : v);
    });
  }
  std::fill(logits + vocab, logits + padded, T(0.0f));
  // From the loss: in bf16 a rounded probability near 1 would leave nothing.
  logits[target] = T(std::expm1(-loss));
  return loss;
}

template <class T>
void run(const CrossEntropy& op, const Stream& stream) {
  const int64_t N = op.logits.dim(0), padded = op.logits.dim(1), vocab = op.vocab;
  const bool gradient = op.gradient;
  T* logits = op.logits.as<T>();
  const int32_t* targets = op.targets.as<int32_t>();
  float* losses = op.losses.as<float>();
  for (int64_t n = 0; n < N; ++n)
    TW_CHECK(targets[n] == kIgnoredTarget || (targets[n] >= 0 && targets[n] < vocab), data,
             "target {} is {}, but the vocabulary has {} tokens", n, targets[n], vocab);
  const int64_t chunks = (vocab + kChunk - 1) / kChunk;
  const size_t scratch = size_t(chunks + (sizeof(T) == sizeof(float) ? 0 : vocab)) * sizeof(float);
  ThreadTeam& team = stream.team();
  parallel_blocks(stream, N, std::max<int64_t>(1, (1 << 14) / padded), [=, &team](int64_t begin, int64_t end, int thread) {
    float* tops = static_cast<float*>(team.scratch(thread, scratch));
    for (int64_t n = begin; n < end; ++n) {
      T* row = logits + n * padded;
      if (targets[n] == kIgnoredTarget) {
        losses[n] = 0;
        if (gradient) std::fill(row, row + padded, T(0.0f));
        continue;
      }
      float* e = tops + chunks;
      if constexpr (sizeof(T) == sizeof(float)) e = row;
      losses[n] = row_loss(row, e, tops, vocab, padded, targets[n], gradient);
    }
  });
}

}  // namespace

void cross_entropy(const CrossEntropy& op, const Stream& stream) {
  op.logits.dtype == DType::bf16 ? run<bf16>(op, stream) : run<float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT(cross_entropy, CrossEntropy)
