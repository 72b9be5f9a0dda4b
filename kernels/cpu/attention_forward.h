// One head's queries against its keys, in blocks with a running maximum and sum.
// Dao 2023, arXiv:2307.08691, algorithm 1.
#pragma once
#include <algorithm>
#include <cmath>

#include "kernels/cpu/attention_blocks.h"

TW_SIMD_BEGIN

// Keys and values of one head as fp32: per block of kKeyBlock keys, K^T (D, kKeyBlock) and V
// (kKeyBlock, Dp).
struct KeyValueBlocks {
  float* keys;
  float* values;
  int64_t D, Dp;
  static int64_t floats(int64_t length, int64_t D) {
    return round_up(length, kKeyBlock) * (D + round_up(D, kLanes));
  }
  KeyValueBlocks(float* memory, int64_t length, int64_t D)
      : keys(memory),
        values(memory + round_up(length, kKeyBlock) * D),
        D(D),
        Dp(round_up(D, kLanes)) {}
  template <class T>
  void fill_from(const T* k, const T* v, int64_t stride, int64_t length) {
    for (int64_t u = 0; u < length; u += kKeyBlock) {
      const int64_t n = std::min(kKeyBlock, length - u);
      load_transposed(keys + u * D, kKeyBlock, k + u * stride, stride, n, D);
      load_rows(values + u * Dp, Dp, v + u * stride, stride, n, D);
    }
  }
};

// Scratch of attend_block in floats.
TW_INLINE int64_t attend_floats(int64_t D) {
  return kQueryBlock * (kKeyBlock + 2 * round_up(D, kLanes) + 2);
}

// Turns one row of scores into exp(s - max), zero beyond `visible`, and updates the running maximum
// and sum; returns the factor for what was summed before.
TW_INLINE float softmax_row(float* s, int64_t visible, int64_t width, float& largest,
                            float& total) {
  const int64_t whole = visible / kLanes * kLanes;
  // A choice and not an addition: hidden lanes may hold NaN.
  const auto seen = lane_numbers() < fill(float(visible - whole));
  Vf top = fill(largest);
  for (int64_t j = 0; j < whole; j += kLanes) top = larger(load(s + j), top);
  if (whole < visible) top = larger(seen ? load(s + whole) : fill(-HUGE_VALF), top);
  const float next = max(top);
  Vf added = {};
  for (int64_t j = 0; j < whole; j += kLanes) {
    const Vf p = exp_of_score(load(s + j) - next);
    store(s + j, p);
    added += p;
  }
  int64_t j = whole;
  if (whole < visible) {
    const Vf p = seen ? exp_of_score(load(s + j) - next) : Vf{};
    store(s + j, p);
    added += p;
    j += kLanes;
  }
  for (; j < width; j += kLanes) store(s + j, Vf{});
  const float factor = exp_of_score(fill(largest - next))[0];
  total = total * factor + sum(added);
  largest = next;
  return factor;
}

// Rows [0, m) of q (`stride` apart); row i stands at `position` + i and sees keys up to there.
// Writes out rows (`out_stride` apart) and, where wanted, lse[i].
template <class T>
void attend_block(const T* q, int64_t stride, int64_t m, int64_t position, const KeyValueBlocks& kv,
                  float scale, T* out, int64_t out_stride, float* lse, float* scratch) {
  const int64_t D = kv.D, Dp = kv.Dp;
  float* query = scratch;
  float* result = query + kQueryBlock * Dp;
  float* scores = result + kQueryBlock * Dp;
  float* largest = scores + kQueryBlock * kKeyBlock;
  float* total = largest + kQueryBlock;
  load_rows(query, Dp, q, stride, m, D, scale);
  std::fill_n(result, m * Dp, 0.0f);
  std::fill_n(largest, m, -HUGE_VALF);
  std::fill_n(total, m, 0.0f);
  const int64_t length = position + m;  // keys the last row sees
  for (int64_t u = 0; u < length; u += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, length - u), width = round_up(keys, kLanes),
                  shift = position - u;
    const bool diagonal = shift + 1 < keys;
    const float *kt = kv.keys + u * D, *v = kv.values + u * Dp;
    if (diagonal) {
      gemm_block<false, false, Causal::columns>(m, width, D, query, Dp, kt, kKeyBlock, scores,
                                                kKeyBlock, shift);
    } else {
      gemm_block<false, false, Causal::none>(m, width, D, query, Dp, kt, kKeyBlock, scores,
                                             kKeyBlock, 0);
    }
    for (int64_t i = 0; i < m; ++i) {
      const int64_t visible = std::clamp<int64_t>(i + shift + 1, 0, keys);
      if (visible == 0) {
        std::fill_n(scores + i * kKeyBlock, width, 0.0f);
        continue;
      }
      const float factor =
          softmax_row(scores + i * kKeyBlock, visible, width, largest[i], total[i]);
      for (int64_t d = 0; d < Dp; d += kLanes)
        store(result + i * Dp + d, load(result + i * Dp + d) * factor);
    }
    if (diagonal) {
      gemm_block<true, false, Causal::k_end>(m, Dp, keys, scores, kKeyBlock, v, Dp, result, Dp,
                                             shift);
    } else {
      gemm_block<true, false, Causal::none>(m, Dp, keys, scores, kKeyBlock, v, Dp, result, Dp, 0);
    }
  }
  for (int64_t i = 0; i < m; ++i) {
    store_rows(out + i * out_stride, 0, result + i * Dp, Dp, 1, D, 1 / total[i]);
    if (lse) lse[i] = largest[i] + std::log(total[i]);
  }
}

TW_SIMD_END
