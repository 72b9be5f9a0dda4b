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

// Scratch of one item: rows of one query head, sums of one kv head, and one pair of blocks.
struct Workplace {
  float *q, *dout, *dq, *delta;  // (T, Dp) and (T), one query head
  float *dk, *dv;                // (T, Dp), summed over the query heads of the group
  float *k, *kt, *vt;            // (kBlock, Dp), (D, kBlock), (D, kBlock)
  float *p, *ds;                 // (kBlock, kBlock)
  static int64_t floats(int64_t rows, int64_t D, int64_t Dp) {
    return rows * (5 * Dp + 1) + kBlock * (Dp + 2 * D + 2 * kBlock);
  }
  Workplace(float* m, int64_t rows, int64_t D, int64_t Dp) {
    float** fields[] = {&q, &dout, &dq, &dk, &dv, &delta, &k, &kt, &vt, &p, &ds};
    const int64_t sizes[] = {rows * Dp,      rows * Dp,   rows * Dp,  rows * Dp,  rows * Dp,
                             rows,           kBlock * Dp, kBlock * D, kBlock * D, kBlock * kBlock,
                             kBlock * kBlock};
    for (int i = 0; i < 11; ++i) *fields[i] = m, m += sizes[i];
  }
};

// p = exp(scale s - lse) in place; ds = scale p (ds - delta) in place, ds holding dout.v before.
// Zero beyond the visible keys.
TW_INLINE void probabilities(float* p, int64_t visible, int64_t width, float scale, float lse) {
  for (int64_t j = 0; j < width; j += kLanes) {
    const Vf x = exp_of_score(load(p + j) * scale - lse);
    store(p + j, lane_numbers() < fill(float(visible - j)) ? x : Vf{});
  }
}
TW_INLINE void score_gradient(float* ds, const float* p, int64_t visible, int64_t width,
                              float scale, float delta) {
  for (int64_t j = 0; j < width; j += kLanes) {
    const Vf x = load(p + j) * (load(ds + j) - delta) * scale;
    store(ds + j, lane_numbers() < fill(float(visible - j)) ? x : Vf{});
  }
}

// One pair of blocks: m queries from row t, n keys.
template <Causal kScores, Causal kRows, Causal kColumns>
void backward_pair(const Workplace& w, int64_t t, int64_t u, int64_t m, int64_t n, int64_t D,
                   int64_t Dp, float scale, const float* lse) {
  const int64_t width = round_up(n, kLanes);
  const bool diagonal = kScores != Causal::none;
  const float *q = w.q + t * Dp, *dout = w.dout + t * Dp;
  gemm_block<false, false, kScores>(m, width, D, q, Dp, w.kt, kBlock, w.p, kBlock, 0);
  for (int64_t i = 0; i < m; ++i) {
    probabilities(w.p + i * kBlock, diagonal ? std::min(i + 1, n) : n, width, scale, lse[t + i]);
  }
  gemm_block<true, true, kColumns>(n, Dp, m, w.p, kBlock, dout, Dp, w.dv + u * Dp, Dp, 0);
  gemm_block<false, false, kScores>(m, width, D, dout, Dp, w.vt, kBlock, w.ds, kBlock, 0);
  for (int64_t i = 0; i < m; ++i) {
    score_gradient(w.ds + i * kBlock, w.p + i * kBlock, diagonal ? std::min(i + 1, n) : n, width,
                   scale, w.delta[t + i]);
  }
  gemm_block<true, true, kColumns>(n, Dp, m, w.ds, kBlock, q, Dp, w.dk + u * Dp, Dp, 0);
  gemm_block<true, false, kRows>(m, Dp, n, w.ds, kBlock, w.k, Dp, w.dq + t * Dp, Dp, 0);
}

template <class T>
void backward(const AttentionBackward& op, const Stream& stream) {
  const int64_t B = op.qkv.dim(0), length = op.qkv.dim(1), D = op.qkv.dim(3), H = op.heads,
                KV = op.kv_heads;
  const int64_t group = H / KV, stride = (H + 2 * KV) * D, Dp = round_up(D, kLanes);
  const int64_t blocks = (length + kBlock - 1) / kBlock;
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
  team.run(B * KV * parts, [&](int64_t item, int thread) {
    const int64_t part = item / (B * KV), b = item % (B * KV) / KV, kv = item % KV;
    const Workplace w(static_cast<float*>(team.scratch(
                          thread, size_t(Workplace::floats(length, D, Dp)) * sizeof(float))),
                      length, D, Dp);
    const T *row = qkv + b * length * stride, *k = row + (H + kv) * D, *v = k + KV * D;
    T *drow = dqkv + b * length * stride, *dk = drow + (H + kv) * D, *dv = dk + KV * D;
    const int32_t* starts = op.starts ? op.starts.as<int32_t>() + b * length : nullptr;
    for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
      const int64_t o = (b * length * H + h) * D;
      const float* lse = all_lse + (b * H + h) * length;
      std::fill_n(w.dq, head_floats, 0.0f);
      int64_t counted = 0;  // blocks of the documents before
      for_documents(starts, length, [&](int64_t begin, int64_t end) {
        const int64_t before = counted % parts, count = (end - begin + kBlock - 1) / kBlock;
        counted += count;
        // Queries before the first key of this part see none of its keys.
        const int64_t first = begin + (part + parts - before) % parts * kBlock;
        if (first >= end) return;
        load_rows(w.q + first * Dp, Dp, row + first * stride + h * D, stride, end - first, D);
        load_rows(w.dout + first * Dp, Dp, dout + o + first * H * D, H * D, end - first, D);
        for (int64_t t = first; t < end; ++t) {
          float dot = 0;
          const T* y = out + o + t * H * D;
          int64_t d = 0;
          Vf lanes = {};
          for (; d + kLanes <= D; d += kLanes) lanes += load(w.dout + t * Dp + d) * load(y + d);
          for (; d < D; ++d) dot += w.dout[t * Dp + d] * float(y[d]);
          w.delta[t] = dot + sum(lanes);
        }
        for (int64_t u = first; u < end; u += parts * kBlock) {
          const int64_t n = std::min(kBlock, end - u);
          load_rows(w.k, Dp, k + u * stride, stride, n, D);
          load_transposed(w.kt, kBlock, k + u * stride, stride, n, D);
          load_transposed(w.vt, kBlock, v + u * stride, stride, n, D);
          if (h == kv * group) {
            std::fill_n(w.dk + u * Dp, n * Dp, 0.0f);
            std::fill_n(w.dv + u * Dp, n * Dp, 0.0f);
          }
          backward_pair<Causal::columns, Causal::k_end, Causal::k_begin>(w, u, u, n, n, D, Dp,
                                                                         op.scale, lse);
          for (int64_t t = u + kBlock; t < end; t += kBlock) {
            backward_pair<Causal::none, Causal::none, Causal::none>(
                w, t, u, std::min(kBlock, end - t), n, D, Dp, op.scale, lse);
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
  op.qkv.dtype == DType::bf16 ? backward<bf16>(op, stream) : backward<float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT(attention_backward, AttentionBackward)
