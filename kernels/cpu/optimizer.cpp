#include "kernels/optimizer.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels/cpu/rounding_noise.h"
#include "kernels/cpu/vector_loop.h"
#include "kernels/cpu/word_sum.h"

TW_SIMD_BEGIN
namespace {

static_assert(kParameterBlock % kLanes == 0);
constexpr int64_t kGrain = 64 * kParameterBlock;  // elements of one item of work
constexpr int64_t kTreeChunk = 2048;
constexpr int64_t kSquaresChunk = 64 * kParameterBlock;

// One block; `keep` is k.keep or 1. The copy, where there is one, is rounded from the registers.
template <bool kCopy>
TW_INLINE void update(float* __restrict p, float* __restrict m, float* __restrict v, const float* __restrict g,
                      bf16* __restrict copy, float keep, const AdamWFactors& k) {
  for (int64_t i = 0; i < kParameterBlock; i += kLanes) {
    const Vf gradient = load(g + i) * k.gradient_scale;
    const Vf mi = k.beta1 * load(m + i) + k.one_minus_beta1 * gradient;
    const Vf vi = k.beta2 * load(v + i) + k.one_minus_beta2 * (gradient * gradient);
    Vf root;
    for (int j = 0; j < kLanes; ++j) root[j] = __builtin_sqrtf(vi[j]);
    const Vf pi = load(static_cast<const float*>(p) + i) * keep - k.rate * mi / (root * k.inverse_root + k.eps);
    store(m + i, mi);
    store(v + i, vi);
    store(p + i, pi);
    if (kCopy) store(copy + i, pi);
  }
}

void round_block(const float* p, bf16* copy, uint64_t seed, int64_t step, int64_t first) {
  alignas(64) uint16_t noise[kParameterBlock];
  rounding_noise_of(seed, step, first, noise);
  for (int64_t i = 0; i < kParameterBlock; i += kLanes) {
    Vh h;
    std::memcpy(&h, noise + i, sizeof h);
    const Vu u = (Vu)load(p + i);
    // Infinities and NaN stay what they are, as bf16(float) does it.
    const Vu special = (u & 0x7fffffu) != 0u ? u | 0x400000u : u;
    const Vu top = ((u & 0x7f800000u) == 0x7f800000u ? special : u + widen(h)) >> 16;
    const Vh rounded = __builtin_convertvector(top, Vh);
    std::memcpy(static_cast<void*>(copy + i), &rounded, sizeof rounded);
  }
}

// The sum of `count` squares, a multiple of kParameterBlock: 32 running sums hide the time one addition takes.
typedef double Vd __attribute__((vector_size(kLanes * 4)));
typedef float VfHalf __attribute__((vector_size(kLanes * 2)));
double squares(const float* x, int64_t count) {
  constexpr int kSums = 32, kWidth = kLanes / 2;
  static_assert(kParameterBlock % kSums == 0);
  Vd sums[kSums / kWidth] = {};
  for (int64_t i = 0; i < count; i += kSums) {
#pragma GCC unroll 16
    for (int j = 0; j < kSums / kWidth; ++j) {
      VfHalf part;
      std::memcpy(&part, x + i + j * kWidth, sizeof part);
      const Vd d = __builtin_convertvector(part, Vd);
      sums[j] += d * d;  // the square of an fp32 is exact in double, so FMA changes nothing
    }
  }
  double t[kSums];
  std::memcpy(t, sums, sizeof t);
  for (int half = kSums / 2; half > 0; half /= 2)
    for (int j = 0; j < half; ++j) t[j] += t[j + half];
  return t[0];
}

// tree(lo, hi) of elements [begin, begin + n): a leaf is the part itself, else the sum is put into
// `out`. scratch: two chunks for each level below.
const float* tree(const float* parts, int64_t stride, int64_t lo, int64_t hi, int64_t begin, int64_t n, float* out,
                  float* scratch) {
  if (hi - lo == 1) return parts + lo * stride + begin;
  const int64_t mid = (lo + hi) / 2;
  float *left = scratch, *right = scratch + kTreeChunk, *below = scratch + 2 * kTreeChunk;
  const float* a = tree(parts, stride, lo, mid, begin, n, left, below);
  const float* b = tree(parts, stride, mid, hi, begin, n, right, below);
  for_vectors(n, [=](int64_t i, auto k) TW_STEP { put(out + i, k, get(a + i, k) + get(b + i, k)); });
  return out;
}

}  // namespace

void adamw(const AdamW& op, const Stream& stream) {
  float *p = op.param.as<float>(), *m = op.m.as<float>(), *v = op.v.as<float>();
  const float* g = op.gradient.as<float>();
  const uint8_t* decayed = op.decayed.as<uint8_t>();
  bf16* copy = op.copy ? op.copy.as<bf16>() : nullptr;
  const AdamWFactors k = adamw_factors(op);
  const bool stochastic = op.stochastic_rounding;
  const uint64_t seed = op.seed;
  const int64_t step = op.step, first = op.first;
  int64_t* sums = op.sums ? op.sums.as<int64_t>() : nullptr;
  if (sums) std::fill_n(sums, kAdamWSums, 0);
  parallel_blocks(stream, op.param.dim(0), kGrain, [=](int64_t begin, int64_t end, int) {
    uint64_t sum[kAdamWSums] = {};
    const auto add = [&](int first_sum, std::initializer_list<const float*> arrays, int64_t i) {
      for (const float* x : arrays) sum[first_sum++] += word_sum(x + i, kParameterBlock, first + i);
    };
    for (int64_t i = begin; i < end; i += kParameterBlock) {
      if (sums) add(kReadParam, {p, m, v, g}, i);
      const float keep = decayed[i / kParameterBlock] ? k.keep : 1.0f;
      if (copy && !stochastic) {
        update<true>(p + i, m + i, v + i, g + i, copy + i, keep, k);
      } else {
        update<false>(p + i, m + i, v + i, g + i, nullptr, keep, k);
        if (copy) round_block(p + i, copy + i, seed, step, first + i);
      }
      if (!sums) continue;
      add(kWroteParam, {p, m, v}, i);
      if (copy) sum[kWroteCopy] += word_sum(copy + i, kParameterBlock / 2, (first + i) / 2);
    }
    for (int j = 0; sums && j < kAdamWSums; ++j) std::atomic_ref(sums[j]).fetch_add(int64_t(sum[j]), std::memory_order_relaxed);
  });
}

void round_by_chance(const RoundByChance& op, const Stream& stream) {
  const float* p = op.param.as<float>();
  bf16* copy = op.copy.as<bf16>();
  const uint64_t seed = op.seed;
  const int64_t step = op.step, first = op.first;
  parallel_blocks(stream, op.param.dim(0) / kParameterBlock, 64, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin * kParameterBlock; i < end * kParameterBlock; i += kParameterBlock)
      round_block(p + i, copy + i, seed, step, first + i);
  });
}

void sum_of_squares(const SumOfSquares& op, const Stream& stream) {
  const float* x = op.x.as<float>();
  const int64_t parts = op.sums.dim(0), part = op.x.dim(0) / parts, chunks = (part + kSquaresChunk - 1) / kSquaresChunk;
  double* partial = static_cast<double*>(stream.team().workspace(size_t(parts * chunks) * sizeof(double)));
  parallel_blocks(stream, parts * chunks, 1, [=](int64_t i, int64_t, int) {
    const int64_t begin = i % chunks * kSquaresChunk;
    partial[i] = squares(x + i / chunks * part + begin, std::min(kSquaresChunk, part - begin));
  });
  double* sums = op.sums.as<double>();
  for (int64_t p = 0; p < parts; ++p) {
    sums[p] = 0;
    for (int64_t c = 0; c < chunks; ++c) sums[p] += partial[p * chunks + c];
  }
}

void tree_sum(const TreeSum& op, const Stream& stream) {
  const float* parts = op.parts.as<float>();
  float* out = op.out.as<float>();
  const int64_t P = op.parts.dim(0), n = op.parts.dim(1);
  int levels = 0;
  while ((int64_t(1) << levels) < P) ++levels;
  const size_t scratch = size_t(2 * levels * kTreeChunk) * sizeof(float);
  ThreadTeam& team = stream.team();
  parallel_blocks(stream, n, kTreeChunk, [=, &team](int64_t begin, int64_t end, int thread) {
    float* mine = static_cast<float*>(team.scratch(thread, scratch));
    const float* sum = tree(parts, n, 0, P, begin, end - begin, out + begin, mine);
    if (sum != out + begin) std::memcpy(out + begin, sum, size_t(end - begin) * sizeof(float));
  });
}

TW_SIMD_END
TW_SIMD_EXPORT(adamw, AdamW)
TW_SIMD_EXPORT(round_by_chance, RoundByChance)
TW_SIMD_EXPORT(sum_of_squares, SumOfSquares)
TW_SIMD_EXPORT(tree_sum, TreeSum)
