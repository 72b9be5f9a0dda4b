// One head's queries against its keys, in blocks with a running maximum and sum.
// Dao 2023, arXiv:2307.08691, algorithm 1.
#pragma once
#include <algorithm>
#include <cmath>

#include "kernels/cpu/attention_blocks.h"

TW_SIMD_BEGIN

// Keys and values of one head: per block of kKeyBlock keys, K^T (D, kKeyBlock) and V (kKeyBlock, Dp), in elements E
// along D and along the keys.
template <class E>
struct KeyValueBlocks {
  E *keys, *values;
  int64_t D, Dp, key_block, value_block;  // elements of a block
  static int64_t key_elements(int64_t D) { return ceil_div(D, kUnit<E>) * kKeyBlock; }
  static int64_t value_elements(int64_t D) { return ceil_div(kKeyBlock, kUnit<E>) * round_up(D, kLanes); }
  static int64_t elements(int64_t length, int64_t D) {
    return ceil_div(length, kKeyBlock) * (key_elements(D) + value_elements(D));
  }
  KeyValueBlocks(E* memory, int64_t length, int64_t D)
      : keys(memory),
        values(memory + ceil_div(length, kKeyBlock) * key_elements(D)),
        D(D),
        Dp(round_up(D, kLanes)),
        key_block(key_elements(D)),
        value_block(value_elements(D)) {}
  template <class T>
  void fill_from(const T* k, const T* v, int64_t stride, int64_t length) {
    for (int64_t u = 0, block = 0; u < length; u += kKeyBlock, ++block) {
      const int64_t n = std::min(kKeyBlock, length - u);
      pack_rows<kKeyBlock>(keys + block * key_block, k + u * stride, stride, n, D);
      stack_rows(values + block * value_block, Dp, v + u * stride, stride, n, D);
    }
  }
};

// Scratch of attend_block in elements of 4 bytes.
TW_INLINE int64_t attend_elements(int64_t D) {
  return kQueryBlock * (2 * kKeyBlock + D + round_up(D, kLanes) + 3);
}

// The columns of one vector of a block of scores: from scores s to probabilities p = 2^(scale s - largest), zero where
// masked. `largest` rises only where the scores are more than 2^8 above it, so that what was summed before need
// seldom be scaled; returns whether it did, with the factors.
template <bool kDiagonal, class E>
TW_INLINE bool softmax_columns(const float* s, E* p, int64_t keys, int64_t column, int64_t shift, float scale,
                               float* largest, float* total, float* factor) {
  const int64_t seen = kDiagonal ? std::clamp<int64_t>(column + kLanes - shift, 0, keys) : keys;
  const Vf lanes = lane_numbers() + float(column);
  const auto score = [&](int64_t j, float hidden) TW_STEP {
    const Vf x = load(s + j * kQueryBlock);
    if (!kDiagonal) return x;
    return lanes >= fill(float(j + shift)) ? x : fill(hidden);  // a choice: hidden scores may be NaN
  };
  Vf top = fill(-HUGE_VALF);
  for (int64_t j = 0; j < seen; ++j) top = larger(score(j, -HUGE_VALF), top);
  top = top * scale;
  const Vf before = load(largest), next = top > before + 8.0f ? top : before;
  Vf added = {};
  const auto probability = [&](int64_t j) TW_STEP {
    const Vf x = exp2_of_score(load(s + j * kQueryBlock) * scale - next);
    const Vf y = kDiagonal ? (lanes >= fill(float(j + shift)) ? x : Vf{}) : x;
    added += y;
    return y;
  };
  if constexpr (kUnit<E> == 1) {
    for (int64_t j = 0; j < seen; ++j) store(p + j * kQueryBlock, probability(j));
  } else {
    for (int64_t j = 0; j < seen; j += 2) {
      const Vf first = probability(j), second = j + 1 < seen ? probability(j + 1) : Vf{};
      const Vu both = pairs_of(first, second);
      std::memcpy(static_cast<void*>(p + j / 2 * kQueryBlock), &both, sizeof both);
    }
  }
  // The product looks at most kTileRows further.
  for (int64_t j = ceil_div(seen, kUnit<E>); kDiagonal && j < ceil_div(std::min(keys, seen + kTileRows), kUnit<E>); ++j)
    std::memset(static_cast<void*>(p + j * kQueryBlock), 0, sizeof(Vf));
  bool risen = false;
  for (int l = 0; l < kLanes; ++l) risen |= !(next[l] == before[l]);
  const Vf change = exp2_of_score(before - next);
  store(total, load(total) * change + added);
  store(largest, next);
  store(factor, change);
  return risen;
}

// Rows [0, m) of q (`stride` apart); row i stands at `position` + i and sees keys up to there. scale > 0.
// Writes out rows (`out_stride` apart) and, where wanted, lse[i].
template <class E, class T>
void attend_block(const T* q, int64_t stride, int64_t m, int64_t position, const KeyValueBlocks<E>& kv,
                  float scale, T* out, int64_t out_stride, float* lse, void* scratch) {
  const int64_t D = kv.D, Dp = kv.Dp, width = round_up(m, kLanes), units = ceil_div(D, kUnit<E>);
  float* scores = static_cast<float*>(scratch);  // (kKeyBlock, kQueryBlock)
  E* p = static_cast<E*>(scratch) + kKeyBlock * kQueryBlock;
  float* result = scores + 2 * kKeyBlock * kQueryBlock;  // (kQueryBlock, Dp)
  float *largest = result + kQueryBlock * Dp, *total = largest + kQueryBlock, *factor = total + kQueryBlock;
  E* query = reinterpret_cast<E*>(factor + kQueryBlock);  // (units of D, kQueryBlock)
  pack_rows<kQueryBlock>(query, q, stride, m, D);
  std::fill_n(largest, width, -HUGE_VALF);
  std::fill_n(total, width, 0.0f);
  const int64_t length = position + m;  // keys the last row sees
  for (int64_t u = 0, block = 0; u < length; u += kKeyBlock, ++block) {
    const int64_t keys = std::min(kKeyBlock, length - u), shift = u - position, key_units = ceil_div(keys, kUnit<E>);
    const E *k = kv.keys + block * kv.key_block, *v = kv.values + block * kv.value_block;
    const bool diagonal = keys - 1 + shift > 0;
    diagonal ? gemm_block<false, true, Causal::scores>(keys, width, units, k, kKeyBlock, query, kQueryBlock, scores, kQueryBlock, shift)
             : gemm_block<false, true, Causal::none>(keys, width, units, k, kKeyBlock, query, kQueryBlock, scores, kQueryBlock, 0);
    for (int64_t i = 0; i < width; i += kLanes) {
      const bool risen = diagonal ? softmax_columns<true>(scores + i, p + i, keys, i, shift, scale * kLog2E, largest + i, total + i, factor + i)
                                  : softmax_columns<false>(scores + i, p + i, keys, i, shift, scale * kLog2E, largest + i, total + i, factor + i);
      if (!risen || u == 0) continue;
      for (int64_t row = i; row < std::min(i + kLanes, m); ++row) {
        for (int64_t d = 0; d < Dp; d += kLanes) store(result + row * Dp + d, load(result + row * Dp + d) * factor[row]);
      }
    }
    if (u == 0 && diagonal) gemm_block<false, true, Causal::k_end>(m, Dp, key_units, p, kQueryBlock, v, Dp, result, Dp, shift);
    else if (u == 0) gemm_block<false, true, Causal::none>(m, Dp, key_units, p, kQueryBlock, v, Dp, result, Dp, 0);
    else if (diagonal) gemm_block<true, true, Causal::k_end>(m, Dp, key_units, p, kQueryBlock, v, Dp, result, Dp, shift);
    else gemm_block<true, true, Causal::none>(m, Dp, key_units, p, kQueryBlock, v, Dp, result, Dp, 0);
  }
  for (int64_t i = 0; i < m; ++i) {
    store_rows(out + i * out_stride, 0, result + i * Dp, Dp, 1, D, 1 / total[i]);
    if (lse) lse[i] = largest[i] / kLog2E + std::log(total[i]);
  }
}

TW_SIMD_END
