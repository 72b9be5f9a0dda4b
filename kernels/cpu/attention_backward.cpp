// Backward of causal attention: probabilities are recomputed from lse, block by block.
// Dao 2023, arXiv:2307.08691, algorithm 2.
// With P = exp(scale q.k - lse), delta = rowsum(dout * out):
//   dV = P^T dout,  dS = scale P * (dout V^T - delta),  dQ = dS K,  dK = dS^T Q
#include <algorithm>

#include "kernels/attention.h"
#include "kernels/cpu/attention_blocks.h"
#include "kernels/cpu/documents.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

constexpr int64_t kBlock = kKeyBlock;
static_assert(kQueryBlock == kKeyBlock, "the diagonal blocks are square");

// Scratch of one item: rows of one query head, sums of one kv head, and one pair of blocks. A name ending in _t is of a
// slab (units of D, kBlock), for the scores; q, dout and k are stacked rows (units of kBlock, Dp), for the gradients.
template <class E>
struct Workplace {
  static constexpr int64_t kUnits = kBlock / kUnit<E>;
  int64_t Dp, units;          // D in whole vectors, and in elements
  E *q_t, *dout_t, *q, *dout; // for each block of queries of one head
  float *lse, *delta;         // (T) of one query head; lse as a power of 2
  float *dq;                  // (T, Dp) of one query head
  float *dk, *dv;             // (T, Dp), summed over the query heads of the group
  E *k_t, *v_t, *k;           // one block of keys
  float *scores, *dscores;    // (kBlock, kBlock)
  E *p, *ds;                  // (kBlock, kUnits): elements along the queries
  E *ds_t;                    // (kUnits, kBlock): elements along the keys
  int64_t size = 0;           // of it all, in elements

  // With null only the size.
  Workplace(void* memory, int64_t length, int64_t D) : Dp(round_up(D, kLanes)), units(ceil_div(D, kUnit<E>)) {
    const auto place = [&](auto*& field, int64_t elements) {
      static_assert(sizeof *field == sizeof(float));
      if (memory) field = static_cast<std::remove_reference_t<decltype(field)>>(memory) + size;
      size += round_up(elements, 16);
    };
    const int64_t blocks = ceil_div(length, kBlock), slab = units * kBlock, stack = kUnits * Dp;
    place(q_t, blocks * slab), place(dout_t, blocks * slab), place(q, blocks * stack), place(dout, blocks * stack);
    place(lse, length + kLanes), place(delta, length + kLanes);
    place(dq, length * Dp), place(dk, length * Dp), place(dv, length * Dp);
    place(k_t, slab), place(v_t, slab), place(k, stack);
    place(scores, kBlock * kBlock), place(dscores, kBlock * kBlock);
    place(p, kBlock * kUnits), place(ds, kBlock * kUnits), place(ds_t, kUnits * kBlock);
  }
};

TW_INLINE void store_along_queries(float* row, int64_t i, Vf x) { store(row + i, x); }
TW_INLINE void store_along_queries(Bf16Pair* row, int64_t i, Vf x) { store(reinterpret_cast<bf16*>(row) + i, x); }

// P and dS of n keys and `width` queries from their scores and from dout.v; zero where masked, from at least
// kTileRows before the first query that sees a key on.
template <bool kDiagonal, class E>
TW_INLINE void score_gradients(const Workplace<E>& w, int64_t n, int64_t width, const float* lse, const float* delta,
                               float scale) {
  for (int64_t j = 0; j < n; j += kUnit<E>) {
    int64_t i = kDiagonal ? std::max<int64_t>(0, j - kTileRows) / kLanes * kLanes : 0;
    for (; i < width; i += kLanes) {
      const Vf lanes = lane_numbers() + float(i), lse_here = load(lse + i), delta_here = load(delta + i);
      const auto key = [&](int64_t row) TW_STEP {
        const Vf x = exp2_of_score(load(w.scores + row * kBlock + i) * (scale * kLog2E) - lse_here);
        const Vf g = x * (load(w.dscores + row * kBlock + i) - delta_here) * scale;
        const auto seen = lanes >= fill(float(row));
        const Vf p = !kDiagonal || seen ? x : Vf{}, ds = !kDiagonal || seen ? g : Vf{};
        store_along_queries(w.p + row * w.kUnits, i, p);
        store_along_queries(w.ds + row * w.kUnits, i, ds);
        return ds;
      };
      const Vf first = key(j);
      if constexpr (kUnit<E> == 2) {
        const Vu both = pairs_of(first, j + 1 < n ? key(j + 1) : Vf{});
        std::memcpy(static_cast<void*>(w.ds_t + j / 2 * kBlock + i), &both, sizeof both);
      }
    }
  }
}

// One pair of blocks: m queries from row t on, which are block `block`, and n keys from row u on.
template <bool kDiagonal, class E>
void backward_pair(const Workplace<E>& w, int64_t block, int64_t t, int64_t u, int64_t m, int64_t n, float scale) {
  constexpr Causal kScores = kDiagonal ? Causal::scores : Causal::none, kBegin = kDiagonal ? Causal::k_begin : Causal::none,
                   kEnd = kDiagonal ? Causal::k_end : Causal::none;
  const int64_t width = round_up(m, kLanes), slab = w.units * kBlock, stack = w.kUnits * w.Dp, Dp = w.Dp,
                queries = ceil_div(m, kUnit<E>), keys = ceil_div(n, kUnit<E>);
  gemm_block<false, true, kScores>(n, width, w.units, w.k_t, kBlock, w.q_t + block * slab, kBlock, w.scores, kBlock, 0);
  gemm_block<false, true, kScores>(n, width, w.units, w.v_t, kBlock, w.dout_t + block * slab, kBlock, w.dscores, kBlock, 0);
  score_gradients<kDiagonal>(w, n, width, w.lse + t, w.delta + t, scale);
  gemm_block<true, false, kBegin>(n, Dp, queries, w.p, w.kUnits, w.dout + block * stack, Dp, w.dv + u * Dp, Dp, 0);
  gemm_block<true, false, kBegin>(n, Dp, queries, w.ds, w.kUnits, w.q + block * stack, Dp, w.dk + u * Dp, Dp, 0);
  const E* ds_t = kUnit<E> == 1 ? w.ds : w.ds_t;
  gemm_block<true, true, kEnd>(m, Dp, keys, ds_t, kBlock, w.k, Dp, w.dq + t * Dp, Dp, 0);
}

template <class E, class T>
void backward(const AttentionBackward& op, const Stream& stream) {
  const int64_t B = op.qkv.dim(0), length = op.qkv.dim(1), D = op.qkv.dim(3), H = op.heads,
                KV = op.kv_heads;
  const int64_t group = H / KV, stride = (H + 2 * KV) * D, Dp = round_up(D, kLanes);
  const int64_t blocks = ceil_div(length, kBlock);
  // An item is one (b, kv head) with every `parts`-th key block, counted through the documents; with
  // several parts each has its own dq, and these are added in order afterwards.
  const int64_t parts = std::clamp<int64_t>((16 + B * KV - 1) / (B * KV), 1, blocks);
  const T *qkv = op.qkv.as<T>(), *out = op.out.as<T>(), *dout = op.dout.as<T>();
  const float* all_lse = op.lse.as<float>();
  T* dqkv = op.dqkv.as<T>();
  ThreadTeam& team = stream.team();
  const int64_t head_floats = length * Dp;
  float* partial = parts == 1 ? nullptr
                              : static_cast<float*>(team.workspace(
                                    size_t(parts * B * H * head_floats) * sizeof(float)));
  const size_t scratch = size_t(Workplace<E>(nullptr, length, D).size) * sizeof(E);
  team.run(B * KV * parts, [&](int64_t item, int thread) {
    const int64_t part = item / (B * KV), b = item % (B * KV) / KV, kv = item % KV;
    const Workplace<E> w(team.scratch(thread, scratch), length, D);
    const int64_t slab = w.units * kBlock, stack = w.kUnits * Dp;
    const T *row = qkv + b * length * stride, *k = row + (H + kv) * D, *v = k + KV * D;
    T *drow = dqkv + b * length * stride, *dk = drow + (H + kv) * D, *dv = dk + KV * D;
    const int32_t* starts = op.starts ? op.starts.as<int32_t>() + b * length : nullptr;
    for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
      const int64_t o = (b * length * H + h) * D;
      const float* lse = all_lse + (b * H + h) * length;
      std::fill_n(w.dq, head_floats, 0.0f);
      int64_t counted = 0;  // blocks of the documents before
      for_documents(starts, length, [&](int64_t begin, int64_t end) {
        const int64_t before = counted % parts, count = ceil_div(end - begin, kBlock);
        counted += count;
        // Queries before the first key of this part see none of its keys.
        const int64_t first = (part + parts - before) % parts;
        for (int64_t block = first; block < count; ++block) {
          const int64_t t = begin + block * kBlock, m = std::min(kBlock, end - t);
          const T *q_rows = row + t * stride + h * D, *dout_rows = dout + o + t * H * D, *out_rows = out + o + t * H * D;
          pack_rows<kBlock>(w.q_t + block * slab, q_rows, stride, m, D);
          pack_rows<kBlock>(w.dout_t + block * slab, dout_rows, H * D, m, D);
          stack_rows(w.q + block * stack, Dp, q_rows, stride, m, D);
          stack_rows(w.dout + block * stack, Dp, dout_rows, H * D, m, D);
          for (int64_t i = 0; i < m; ++i) {
            Vf dot = {};
            for_vectors(D, [&](int64_t d, auto n) TW_STEP { dot += get(dout_rows + i * H * D + d, n) * get(out_rows + i * H * D + d, n); });
            w.delta[t + i] = sum(dot);
            w.lse[t + i] = lse[t + i] * kLog2E;
          }
          // What stands in the lanes beyond is multiplied with zeros.
          std::fill_n(w.delta + t + m, round_up(m, kLanes) - m, 0.0f);
          std::fill_n(w.lse + t + m, round_up(m, kLanes) - m, 0.0f);
        }
        for (int64_t block = first; block < count; block += parts) {
          const int64_t u = begin + block * kBlock, n = std::min(kBlock, end - u);
          pack_rows<kBlock>(w.k_t, k + u * stride, stride, n, D);
          pack_rows<kBlock>(w.v_t, v + u * stride, stride, n, D);
          stack_rows(w.k, Dp, k + u * stride, stride, n, D);
          if (h == kv * group) {
            std::fill_n(w.dk + u * Dp, n * Dp, 0.0f);
            std::fill_n(w.dv + u * Dp, n * Dp, 0.0f);
          }
          backward_pair<true>(w, block, u, u, n, n, op.scale);
          for (int64_t later = block + 1; later < count; ++later) {
            const int64_t t = begin + later * kBlock;
            backward_pair<false>(w, later, t, u, std::min(kBlock, end - t), n, op.scale);
          }
          if (h == (kv + 1) * group - 1) {
            store_rows(dk + u * stride, stride, w.dk + u * Dp, Dp, n, D);
            store_rows(dv + u * stride, stride, w.dv + u * Dp, Dp, n, D);
          }
        }
      });
      if (parts == 1) {
        store_rows(drow + h * D, stride, w.dq, Dp, length, D);
      } else {
        std::copy_n(w.dq, head_floats, partial + ((part * B + b) * H + h) * head_floats);
      }
    }
  });
  if (parts == 1) return;
  const int64_t chunk = 64;
  const int64_t chunks = (length + chunk - 1) / chunk;
  team.run(B * H * chunks, [&](int64_t item, int) {
    const int64_t b = item / chunks / H, h = item / chunks % H, t = item % chunks * chunk;
    const int64_t n = std::min(chunk, length - t);
    float* total = partial + (b * H + h) * head_floats + t * Dp;
    for (int64_t part = 1; part < parts; ++part) {
      const float* more = total + part * B * H * head_floats;
      for (int64_t i = 0; i < n * Dp; ++i) total[i] += more[i];
    }
    store_rows(dqkv + (b * length + t) * stride + h * D, stride, total, Dp, n, D);
  });
}

}  // namespace

void attention_backward(const AttentionBackward& op, const Stream& stream) {
  op.qkv.dtype == DType::bf16 ? backward<Bf16Element, bf16>(op, stream) : backward<float, float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT_BF16(attention_backward, AttentionBackward)
