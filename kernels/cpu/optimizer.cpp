#include "kernels/optimizer.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/cpu/vector_loop.h"

TW_SIMD_BEGIN
namespace {

static_assert(kParameterBlock % kLanes == 0);
constexpr int64_t kGrain = 64 * kParameterBlock;  // elements of one item of work
constexpr int64_t kTreeChunk = 2048;

// One block; `keep` is k.keep or 1.
TW_INLINE void update(float* __restrict p, float* __restrict m, float* __restrict v, const float* __restrict g,
                      float keep, const AdamWFactors& k) {
  for (int64_t i = 0; i < kParameterBlock; i += kLanes) {
    const Vf gradient = load(g + i) * k.gradient_scale;
    const Vf mi = k.beta1 * load(m + i) + k.one_minus_beta1 * gradient;
    const Vf vi = k.beta2 * load(v + i) + k.one_minus_beta2 * (gradient * gradient);
    Vf root;
    for (int j = 0; j < kLanes; ++j) root[j] = __builtin_sqrtf(vi[j]);
    store(m + i, mi);
    store(v + i, vi);
    store(p + i, load(static_cast<const float*>(p) + i) * keep - k.rate * mi / (root * k.inverse_root + k.eps));
  }
}

// Infinities and NaN stay what they are.
uint16_t rounded_by_chance(float x, uint32_t noise) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  return (u & 0x7f800000u) == 0x7f800000u ? bf16(x).bits : uint16_t((u + noise) >> 16);
}

void round_block(const float* p, bf16* copy, uint64_t seed, int64_t step, int64_t first) {
  for (int64_t i = 0; i < kParameterBlock; ++i) copy[i].bits = rounded_by_chance(p[i], rounding_noise(seed, step, first + i));
}

typedef float Vf4 __attribute__((vector_size(16)));
typedef int32_t Vi4 __attribute__((vector_size(16)));
typedef double Vd4 __attribute__((vector_size(32)));

// sums[j] = sum of squares of block j of 8; a lane is a block, so that each block is added in order.
TW_INLINE void squares_of_8(const float* x, double* sums) {
  Vd4 total[2] = {};
  for (int64_t i = 0; i < kParameterBlock; i += 4) {
    for (int half = 0; half < 2; ++half) {
      Vf4 row[4];
      for (int j = 0; j < 4; ++j) std::memcpy(&row[j], x + (4 * half + j) * kParameterBlock + i, sizeof row[j]);
      const Vf4 low01 = __builtin_shuffle(row[0], row[1], Vi4{0, 4, 1, 5}), low23 = __builtin_shuffle(row[2], row[3], Vi4{0, 4, 1, 5});
      const Vf4 high01 = __builtin_shuffle(row[0], row[1], Vi4{2, 6, 3, 7}), high23 = __builtin_shuffle(row[2], row[3], Vi4{2, 6, 3, 7});
      const Vf4 columns[4] = {
          __builtin_shuffle(low01, low23, Vi4{0, 1, 4, 5}), __builtin_shuffle(low01, low23, Vi4{2, 3, 6, 7}),
          __builtin_shuffle(high01, high23, Vi4{0, 1, 4, 5}), __builtin_shuffle(high01, high23, Vi4{2, 3, 6, 7})};
      for (const Vf4& column : columns) {
        const Vd4 d = __builtin_convertvector(column, Vd4);
        total[half] += d * d;  // the square of an fp32 is exact in double, so FMA changes nothing
      }
    }
  }
  std::memcpy(sums, total, sizeof total);
}
double squares_of_1(const float* x) {
  double total = 0;
  for (int64_t i = 0; i < kParameterBlock; ++i) total += double(x[i]) * double(x[i]);
  return total;
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
  parallel_blocks(stream, op.param.dim(0), kGrain, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i += kParameterBlock) {
      update(p + i, m + i, v + i, g + i, decayed[i / kParameterBlock] ? k.keep : 1.0f, k);
      if (!copy) continue;
      if (stochastic) {
        round_block(p + i, copy + i, seed, step, first + i);
        continue;
      }
      for (int64_t j = i; j < i + kParameterBlock; j += kLanes) store(copy + j, load(static_cast<const float*>(p) + j));
    }
  });
}

void round_by_chance(const RoundByChance& op, const Stream& stream) {
  const float* p = op.param.as<float>();
  bf16* copy = op.copy.as<bf16>();
  const uint64_t seed = op.seed;
  const int64_t step = op.step, first = op.first;
  parallel_blocks(stream, op.param.dim(0) / kParameterBlock, 64, [=](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b) round_block(p + b * kParameterBlock, copy + b * kParameterBlock, seed, step, first + b * kParameterBlock);
  });
}

void sum_of_squares(const SumOfSquares& op, const Stream& stream) {
  const float* x = op.x.as<float>();
  const int64_t blocks = op.x.dim(0) / kParameterBlock, parts = op.sums.dim(0), each = blocks / parts;
  double* partial = static_cast<double*>(stream.team().workspace(size_t(blocks) * sizeof(double)));
  parallel_blocks(stream, blocks, 64, [=](int64_t begin, int64_t end, int) {
    int64_t b = begin;
    for (; b + 8 <= end; b += 8) squares_of_8(x + b * kParameterBlock, partial + b);
    for (; b < end; ++b) partial[b] = squares_of_1(x + b * kParameterBlock);
  });
  double* sums = op.sums.as<double>();
  parallel_blocks(stream, parts, 1, [=](int64_t part, int64_t, int) {
    double total = 0;
    for (int64_t b = part * each; b < (part + 1) * each; ++b) total += partial[b];
    sums[part] = total;
  });
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
