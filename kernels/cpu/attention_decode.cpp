#include "kernels/attention.h"
#include "kernels/cpu/attention_forward.h"
#include "kernels/cpu/fold.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

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

// Few query rows against a long cache are bound by memory: keys and values come from it once, in chunks
// that stay in the first-level cache while every row of the group uses them.
constexpr int64_t kFewRows = 8;       // rows of one kv head up to which this way is taken
constexpr int64_t kPartLength = 256;  // cached positions of one item, where items are few

// What one item leaves of one row: running maximum, sum, and unnormalised output.
struct Partial {
  float *largest, *total, *result;
};

template <class T>
TW_INLINE float dot(const float* x, const T* y, int64_t Dp) {
  Vf lanes = {};
  for (int64_t d = 0; d < Dp; d += kLanes) lanes += load(x + d) * load(y + d);
  return sum(lanes);
}

// scores[j] = q . keys[j * stride], rows of Dp.
template <class T>
TW_INLINE void score(const float* q, const T* keys, int64_t stride, int64_t count, int64_t Dp, float* scores) {
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    const T* row = keys + j * stride;
    Vf lanes[kLanes] = {};
    for (int64_t d = 0; d < Dp; d += kLanes) {
      const Vf x = load(q + d);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) lanes[i] += x * load(row + i * stride + d);
    }
    fold(lanes);
    store(scores + j, lanes[0]);
  }
  for (; j < count; ++j) scores[j] = dot(q, keys + j * stride, Dp);
}

// y = factor y + sum of weights[j] values[j * stride], rows of Dp; kVectors of y stay in registers.
template <int kVectors, class T>
TW_INLINE void add_weighted(float* y, float factor, const float* weights, const T* values, int64_t stride, int64_t count) {
  Vf sums[kVectors];
  for (int i = 0; i < kVectors; ++i) sums[i] = load(y + i * kLanes) * factor;
  for (int64_t j = 0; j < count; ++j) {
    const T* row = values + j * stride;
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) sums[i] += load(row + i * kLanes) * weights[j];
  }
  for (int i = 0; i < kVectors; ++i) store(y + i * kLanes, sums[i]);
}
template <class T>
TW_INLINE void add_weighted(float* y, float factor, const float* weights, const T* values, int64_t stride, int64_t count, int64_t Dp) {
  int64_t d = 0;
  for (; d + 4 * kLanes <= Dp; d += 4 * kLanes) add_weighted<4>(y + d, factor, weights, values + d, stride, count);
  for (; d < Dp; d += kLanes) add_weighted<1>(y + d, factor, weights, values + d, stride, count);
}

// Rows r of q (dense, Dp) at positions[r] against cache rows [begin, end).
template <class T>
void few_rows(const float* q, int64_t rows, const int64_t* positions, const T* k, const T* v,
              int64_t begin, int64_t end, int64_t D, Partial partial, float* scratch) {
  const int64_t Dp = round_up(D, kLanes);
  const bool whole = D == Dp;              // rows are used where they lie
  float* block = scratch;                  // (kKeyBlock, Dp)
  float* scores = block + kKeyBlock * Dp;  // (rows, kKeyBlock)
  std::fill_n(partial.largest, rows, -HUGE_VALF);
  std::fill_n(partial.total, rows, 0.0f);
  std::fill_n(partial.result, rows * Dp, 0.0f);
  for (int64_t u = begin; u < end; u += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, end - u);
    if (!whole) load_rows(block, Dp, k + u * D, D, keys, D);
    float factors[kFewRows];
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t visible = std::clamp<int64_t>(positions[r] + 1 - u, 0, keys);
      float* s = scores + r * kKeyBlock;
      if (visible == 0) continue;
      if (whole) score(q + r * Dp, k + u * D, D, visible, Dp, s);
      else score(q + r * Dp, static_cast<const float*>(block), Dp, visible, Dp, s);
      factors[r] = softmax_row(s, visible, round_up(visible, kLanes), partial.largest[r], partial.total[r]);
    }
    if (!whole) load_rows(block, Dp, v + u * D, D, keys, D);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t visible = std::clamp<int64_t>(positions[r] + 1 - u, 0, keys);
      const float* s = scores + r * kKeyBlock;
      float* y = partial.result + r * Dp;
      if (visible == 0) continue;
      if (whole) add_weighted(y, factors[r], s, v + u * D, D, visible, Dp);
      else add_weighted(y, factors[r], s, static_cast<const float*>(block), Dp, visible, Dp);
    }
  }
}

template <class T>
void decode_few(const AttentionDecode& op, const Stream& stream) {
  const int64_t B = op.qkv.dim(0), fresh = op.qkv.dim(1), D = op.qkv.dim(3), H = op.heads,
                KV = op.kv_heads;
  const int64_t group = H / KV, rows = group * fresh, length = op.past + fresh,
                Dp = round_up(D, kLanes);
  const int64_t row_floats = Dp + 2, stride = (H + 2 * KV) * D, T_max = op.k_cache.dim(2);
  const int64_t parts = B * KV >= 16 ? 1 : (length + kPartLength - 1) / kPartLength;
  const int64_t part_length = (length + parts - 1) / parts;
  const T *qkv = op.qkv.as<T>(), *k_cache = op.k_cache.as<T>(), *v_cache = op.v_cache.as<T>();
  T* out = op.out.as<T>();
  ThreadTeam& team = stream.team();
  float* partials = static_cast<float*>(
      team.workspace(size_t(B * KV * parts * rows * row_floats) * sizeof(float)));
  const auto partial = [&](int64_t item) {
    float* p = partials + item * rows * row_floats;
    return Partial{p, p + rows, p + 2 * rows};
  };
  team.run(B * KV * parts, [&](int64_t item, int thread) {
    const int64_t bkv = item / parts, b = bkv / KV, kv = bkv % KV, part = item % parts;
    float* q = static_cast<float*>(
        team.scratch(thread, size_t(rows * Dp + kKeyBlock * (Dp + rows)) * sizeof(float)));
    int64_t positions[kFewRows];
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t i = r / group, h = kv * group + r % group;
      positions[r] = op.past + i;
      load_rows(q + r * Dp, Dp, qkv + (b * fresh + i) * stride + h * D, 0, 1, D, op.scale);
    }
    const int64_t begin = part * part_length;
    few_rows(q, rows, positions, k_cache + bkv * T_max * D, v_cache + bkv * T_max * D, begin,
             std::min(length, begin + part_length), D, partial(item), q + rows * Dp);
  });
  // Parts are joined in order, on this thread: they are few and small.
  for (int64_t bkv = 0; bkv < B * KV; ++bkv) {
    for (int64_t r = 0; r < rows; ++r) {
      const Partial first = partial(bkv * parts);
      float largest = first.largest[r], total = first.total[r];
      float* result = first.result + r * Dp;
      for (int64_t part = 1; part < parts; ++part) {
        const Partial more = partial(bkv * parts + part);
        if (more.total[r] == 0) continue;  // saw no key
        const float next = std::max(largest, more.largest[r]);
        const float keep = exp(fill(largest - next))[0], add = exp(fill(more.largest[r] - next))[0];
        total = total * keep + more.total[r] * add;
        for (int64_t d = 0; d < Dp; ++d)
          result[d] = result[d] * keep + more.result[r * Dp + d] * add;
        largest = next;
      }
      const int64_t b = bkv / KV, i = r / group, h = bkv % KV * group + r % group;
      store_rows(out + ((b * fresh + i) * H + h) * D, 0, result, Dp, 1, D, 1 / total);
    }
  }
}

// Many new tokens (a prompt): the blocks of the forward pass, the cache laid out once an item.
template <class T>
void decode_many(const AttentionDecode& op, const Stream& stream) {
  const int64_t B = op.qkv.dim(0), fresh = op.qkv.dim(1), D = op.qkv.dim(3), H = op.heads,
                KV = op.kv_heads;
  const int64_t group = H / KV, stride = (H + 2 * KV) * D, T_max = op.k_cache.dim(2);
  const int64_t blocks = (fresh + kQueryBlock - 1) / kQueryBlock, length = op.past + fresh;
  const int64_t parts = std::clamp<int64_t>((16 + B * KV - 1) / (B * KV), 1, blocks);
  const T *qkv = op.qkv.as<T>(), *k_cache = op.k_cache.as<T>(), *v_cache = op.v_cache.as<T>();
  T* out = op.out.as<T>();
  stream.team().run(B * KV * parts, [&](int64_t item, int thread) {
    const int64_t part = parts - 1 - item / (B * KV), bkv = item % (B * KV), b = bkv / KV,
                  kv = bkv % KV;
    const int64_t kv_floats = KeyValueBlocks<float>::elements(length, D);
    float* memory = static_cast<float*>(
        stream.team().scratch(thread, size_t(kv_floats + attend_elements(D)) * sizeof(float)));
    KeyValueBlocks<float> key_values(memory, length, D);
    int64_t last = part;
    while (last + parts < blocks) last += parts;
    key_values.fill_from(k_cache + bkv * T_max * D, v_cache + bkv * T_max * D, D,
                         std::min(length, op.past + (last + 1) * kQueryBlock));
    for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
      for (int64_t block = part; block < blocks; block += parts) {
        const int64_t t = block * kQueryBlock, m = std::min(kQueryBlock, fresh - t);
        attend_block(qkv + (b * fresh + t) * stride + h * D, stride, m, op.past + t, key_values,
                     op.scale, out + ((b * fresh + t) * H + h) * D, H * D, nullptr,
                     memory + kv_floats);
      }
    }
  });
}

template <class T>
void decode(const AttentionDecode& op, const Stream& stream) {
  op.qkv.dim(1) * (op.heads / op.kv_heads) <= kFewRows ? decode_few<T>(op, stream)
                                                       : decode_many<T>(op, stream);
}

}  // namespace

void attention_decode(const AttentionDecode& op, const Stream& stream) {
  op.qkv.dtype == DType::bf16 ? decode<bf16>(op, stream) : decode<float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT(attention_decode, AttentionDecode)
