#include "kernels/optimizer.h"

#include <cmath>
#include <cstring>

#include "kernels/cpu/vector.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

constexpr int64_t kGrain = 64 * kParameterBlock;

struct Coefficients {
  float keep, gradient_scale, beta1, beta2, one_minus_beta1, one_minus_beta2, rate, inverse_root, eps;
};

// One block; `keep` is 1 - lr * weight_decay or 1.
TW_INLINE void update(float* __restrict p, float* __restrict m, float* __restrict v, const float* __restrict g,
                      const Coefficients& k) {
  for (int64_t i = 0; i < kParameterBlock; ++i) {
    const float gradient = g[i] * k.gradient_scale;
    const float mi = k.beta1 * m[i] + k.one_minus_beta1 * gradient;
    const float vi = k.beta2 * v[i] + k.one_minus_beta2 * (gradient * gradient);
    m[i] = mi;
    v[i] = vi;
    p[i] = p[i] * k.keep - k.rate * mi / (__builtin_sqrtf(vi) * k.inverse_root + k.eps);
  }
}

constexpr int kMaxHeight = 32;
constexpr int64_t kTreeChunk = 2048;

// out := tree(lo, hi) of elements [begin, begin + n); `scratch` holds one chunk for each level below.
void tree(const float* parts, int64_t stride, int64_t lo, int64_t hi, int64_t begin, int64_t n, float* out, float* scratch) {
  if (hi - lo == 1) {
    if (out != parts + lo * stride + begin) std::memcpy(out, parts + lo * stride + begin, size_t(n) * sizeof(float));
    return;
  }
  const int64_t mid = (lo + hi) / 2;
  tree(parts, stride, lo, mid, begin, n, scratch, scratch + 2 * kTreeChunk);
  tree(parts, stride, mid, hi, begin, n, scratch + kTreeChunk, scratch + 2 * kTreeChunk);
  const float *a = scratch, *b = scratch + kTreeChunk;
  for (int64_t i = 0; i < n; ++i) out[i] = a[i] + b[i];
}

}  // namespace

void adamw(const AdamW& op, const Stream& stream) {
  float *p = op.param.as<float>(), *m = op.m.as<float>(), *v = op.v.as<float>();
  const float* g = op.gradient.as<float>();
  const uint8_t* decayed = op.decayed.as<uint8_t>();
  bf16* copy = op.copy ? op.copy.as<bf16>() : nullptr;
  const double correction1 = 1 - std::pow(double(op.beta1), double(op.step));
  const double correction2 = 1 - std::pow(double(op.beta2), double(op.step));
  Coefficients k{1, op.gradient_scale, op.beta1, op.beta2, float(1 - double(op.beta1)), float(1 - double(op.beta2)),
                 float(double(op.lr) / correction1), float(1 / std::sqrt(correction2)), op.eps};
  const float keep = float(1 - double(op.lr) * double(op.weight_decay));
  parallel_blocks(stream, op.param.dim(0), kGrain, [&](int64_t begin, int64_t end, int) {
    Coefficients mine = k;
    for (int64_t i = begin; i < end; i += kParameterBlock) {
      mine.keep = decayed[i / kParameterBlock] ? keep : 1.0f;
      update(p + i, m + i, v + i, g + i, mine);
      if (copy)
        for (int64_t j = i; j < i + kParameterBlock; j += kLanes) store(copy + j, load(p + j));
    }
  });
}

void sum_of_squares(const SumOfSquares& op, const Stream& stream) {
  const float* x = op.x.as<float>();
  const int64_t blocks = op.x.dim(0) / kParameterBlock, parts = op.sums.dim(0), each = blocks / parts;
  double* partial = static_cast<double*>(stream.team().workspace(size_t(blocks) * sizeof(double)));
  parallel_blocks(stream, blocks, 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b) {
      double lanes[8] = {};
      const float* from = x + b * kParameterBlock;
      for (int64_t i = 0; i < kParameterBlock; i += 8)
        for (int64_t j = 0; j < 8; ++j) lanes[j] += double(from[i + j]) * double(from[i + j]);
      partial[b] = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
    }
  });
  double* sums = op.sums.as<double>();
  for (int64_t p = 0; p < parts; ++p) {
    double total = 0;
    for (int64_t b = p * each; b < (p + 1) * each; ++b) total += partial[b];
    sums[p] = total;
  }
}

void tree_sum(const TreeSum& op, const Stream& stream) {
  const float* parts = op.parts.as<float>();
  float* out = op.out.as<float>();
  const int64_t P = op.parts.dim(0), n = op.parts.dim(1);
  parallel_blocks(stream, n, kTreeChunk, [&](int64_t begin, int64_t end, int thread) {
    float* scratch = static_cast<float*>(stream.team().scratch(thread, size_t(2 * kMaxHeight * kTreeChunk) * sizeof(float)));
    tree(parts, n, 0, P, begin, end - begin, out + begin, scratch);
  });
}

TW_SIMD_END
TW_SIMD_EXPORT(adamw, AdamW)
TW_SIMD_EXPORT(sum_of_squares, SumOfSquares)
TW_SIMD_EXPORT(tree_sum, TreeSum)
