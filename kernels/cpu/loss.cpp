#include "kernels/loss.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/cpu/vector_loop.h"

TW_SIMD_BEGIN
namespace {

constexpr int64_t kChunk = 2048;  // columns; small enough to stay in the first cache between two looks

struct Largest {  // of logits, NaN passed over
  Vf v[4];
  TW_INLINE Largest() { for (Vf& lanes : v) lanes = fill(-__builtin_inff()); }
  TW_INLINE void take(Vf logits, int slot) { v[slot] = larger(logits, v[slot]); }  // the second one where the first is NaN
  TW_INLINE float of_all() const { return std::max(std::max(max(v[0]), max(v[1])), std::max(max(v[2]), max(v[3]))); }
};
template <class T>
TW_INLINE float largest(const T* x, int64_t count) {
  Largest top;
  for_vectors_in_slots(count, [&](int64_t i, auto n, int slot) TW_STEP { top.take(get(x + i, n, -__builtin_inff()), slot); });
  return top.of_all();
}

struct Exponentials {
  float total, largest;  // their sum, which does not pass over NaN; the largest logit
};
// e[i] = exp(x[i] - shift), kept if wanted.
template <class T>
TW_INLINE Exponentials exponentials(const T* x, int64_t count, float shift, float* e, bool keep) {
  const Vf about = fill(shift);
  Slots sums;
  Largest top;
  const auto all = [&](auto kept) TW_STEP {
    for_vectors_in_slots(count, [&](int64_t i, auto n, int slot) TW_STEP {
      const Vf logits = get(x + i, n, -__builtin_inff()), v = exp_of_score(logits - about);
      top.take(logits, slot);
      sums.v[slot] += v;
      if constexpr (kept) put(e + i, n, v);
    });
  };
  keep ? all(std::true_type{}) : all(std::false_type{});
  return {sums.total(), top.of_all()};
}

// Loss of one row; with gradient the row becomes softmax - one-hot. The row is read once for maximum and sum (Milakov &
// Gimelshein 2018, arXiv:1805.02867): a chunk takes the shift of the one before it, and is looked at again with a larger
// one only if a logit stands more than kHeadroom above that. This leaves the exponentials in `e`; a second reading
// scales them. e: (vocab) fp32, the row itself in fp32. shifts: one number a chunk.
template <class T>
float row_loss(T* logits, float* e, float* shifts, int64_t vocab, int64_t padded, int32_t target, bool gradient) {
  constexpr float kHeadroom = 40, kNone = -__builtin_inff();
  const bool twice = gradient && sizeof(T) != sizeof(float);  // whether a chunk's logits are still there after the first look
  const float at_target = float(logits[target]);
  float high = kNone, shift = 0;
  double total = 0;  // of exp(logit - shift)
  for (int64_t begin = 0; begin < vocab; begin += kChunk) {
    const int64_t count = std::min(kChunk, vocab - begin);
    const T* from = logits + begin;
    Exponentials chunk{0, kNone};
    const bool tried = high > kNone && (twice || !gradient);
    if (tried) chunk = exponentials(from, count, shift, e + begin, gradient);
    if (!tried || chunk.largest - shift > kHeadroom) {
      const float top = std::max(high, largest(from, count)), next = top > kNone ? top : 0.0f;
      total *= high > kNone ? std::exp(double(shift) - double(next)) : 0.0;
      shift = next;
      chunk = exponentials(from, count, shift, e + begin, gradient);
    }
    high = std::max(high, chunk.largest);
    total += double(chunk.total);
    shifts[begin / kChunk] = high > kNone ? shift : kNone;
  }
  // The difference of the two large numbers first: it is exact where the target is near the top.
  const float loss = float(std::log(total) + (double(shift) - double(at_target)));
  if (!gradient) return loss;
  // Probabilities this small are cut to 0: subnormal numbers are slow in the products that follow.
  const Vf least = fill(1e-30f), none = fill(0);
  for (int64_t begin = 0; begin < vocab; begin += kChunk) {
    const int64_t count = std::min(kChunk, vocab - begin);
    const Vf factor = fill(float(std::exp(double(shifts[begin / kChunk]) - double(shift)) / total));
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
    float* shifts = static_cast<float*>(team.scratch(thread, scratch));
    for (int64_t n = begin; n < end; ++n) {
      T* row = logits + n * padded;
      if (targets[n] == kIgnoredTarget) {
        losses[n] = 0;
        if (gradient) std::fill(row, row + padded, T(0.0f));
        continue;
      }
      float* e = shifts + chunks;
      if constexpr (sizeof(T) == sizeof(float)) e = row;
      losses[n] = row_loss(row, e, shifts, vocab, padded, targets[n], gradient);
    }
  });
}

}  // namespace

void cross_entropy(const CrossEntropy& op, const Stream& stream) {
  op.logits.dtype == DType::bf16 ? run<bf16>(op, stream) : run<float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT_BF16(cross_entropy, CrossEntropy)
