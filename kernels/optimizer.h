// AdamW on a contiguous range of parameters, decoupled weight decay, bias-corrected:
//   p *= 1 - lr*wd;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;
//   p -= lr * (m/(1-b1^k)) / (sqrt(v/(1-b2^k)) + eps),  g = gradient * gradient_scale
// Loshchilov & Hutter 2019, arXiv:1711.05101 algorithm 2 (as torch.optim.AdamW does it).
#pragma once
#include "src/core/rng.h"
#include "src/core/tensor.h"

namespace tw {

// Parameters start at multiples of this many elements of the flat range, and weight decay is chosen
// by block. Sums of squares are made of whole blocks, too.
inline constexpr int64_t kParameterBlock = 256;

// Checksums (kernels/checksum.h) of what an update read and of what it wrote, taken while both are in the cache: what changed in
// memory from one update to the next shows as a difference between what was written and what is read. A word's place is that
// of its element among all parameters; in the copy, half of it.
enum AdamWSum { kReadParam, kReadM, kReadV, kReadGradient, kWroteParam, kWroteM, kWroteV, kWroteCopy, kAdamWSums };

struct AdamW {
  View param;          // (n) fp32, updated; n a multiple of kParameterBlock
  View m, v;           // (n) fp32, updated
  ConstView gradient;  // (n) fp32
  ConstView decayed;   // (n / kParameterBlock) u8: 1 where the block takes weight decay
  View copy;           // (n) bf16, overwritten with the rounded parameters; or empty
  View sums;           // (kAdamWSums) i64, overwritten; or empty
  // Rounds the copy up or down by chance, in proportion to how near each is, so that steps far below a bf16's last digit
  // count on average. The numbers follow from seed, step and place: they do not depend on ranks or devices.
  bool stochastic_rounding = false;
  uint64_t seed = 0;
  int64_t first = 0;   // place of element 0 among all parameters; a multiple of kParameterBlock
  float lr = 0, beta1 = 0.9f, beta2 = 0.95f, eps = 1e-8f, weight_decay = 0;
  float gradient_scale = 1;
  int64_t step = 1;    // k, from 1
};
void adamw(const AdamW& op, const Stream& stream);

// The factors of a step, worked out in double and rounded once.
struct AdamWFactors {
  float gradient_scale, beta1, beta2, one_minus_beta1, one_minus_beta2;
  float rate;          // lr / (1 - beta1^k)
  float inverse_root;  // 1 / sqrt(1 - beta2^k)
  float eps;
  float keep;          // 1 - lr * weight_decay
};
AdamWFactors adamw_factors(const AdamW& op);

constexpr Rng rounding_rng(uint64_t seed, int64_t step) noexcept {
  return {seed, RngStream::rounding, uint32_t(step), uint32_t(uint64_t(step) >> 32)};
}
// The 16 bits below a bf16 that stochastic rounding adds to element `place` before it cuts them off.
constexpr uint32_t rounding_noise(uint64_t seed, int64_t step, int64_t place) noexcept {
  const auto words = rounding_rng(seed, step).block(uint64_t(place) / 8);
  return words[size_t(place % 8 / 2)] >> (16 * (place % 2)) & 0xffffu;
}

// The copy alone, as AdamW with stochastic_rounding made it in step k: after a restart.
struct RoundByChance {
  ConstView param;  // (n) fp32, n a multiple of kParameterBlock
  View copy;        // (n) bf16, overwritten
  uint64_t seed = 0;
  int64_t first = 0;
  int64_t step = 1;
};
void round_by_chance(const RoundByChance& op, const Stream& stream);

// sums[i] = sum of x^2 over the i-th of `parts` equal ranges, in double and in an order that the range alone decides: chunks
// of 64 blocks in order; within one, element k goes to sum k % 32, and halves of the sums are added until one is left.
// n divisible by parts * kParameterBlock.
struct SumOfSquares {
  ConstView x;   // (n) fp32
  View sums;     // (parts) fp64, overwritten
};
void sum_of_squares(const SumOfSquares& op, const Stream& stream);

// out = the sum of `parts` over dimension 0 in one fixed binary tree:
// tree(lo, hi) = tree(lo, mid) + tree(mid, hi), mid = (lo + hi) / 2.
struct TreeSum {
  ConstView parts;  // (P, n) fp32
  View out;         // (n) fp32, overwritten; may be row 0 of parts
};
void tree_sum(const TreeSum& op, const Stream& stream);

namespace cpu {
void adamw(const AdamW& op, const Stream& stream);
void round_by_chance(const RoundByChance& op, const Stream& stream);
void sum_of_squares(const SumOfSquares& op, const Stream& stream);
void tree_sum(const TreeSum& op, const Stream& stream);
}  // namespace cpu
namespace cuda {
void adamw(const AdamW& op, const Stream& stream);
void round_by_chance(const RoundByChance& op, const Stream& stream);
void sum_of_squares(const SumOfSquares& op, const Stream& stream);
void tree_sum(const TreeSum& op, const Stream& stream);
}  // namespace cuda

}  // namespace tw
