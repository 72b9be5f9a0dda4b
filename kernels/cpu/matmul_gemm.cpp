// Blocked matrix product. B is packed in panels that all threads share; an item of parallel work is
// a block of rows times a range of columns. All sizes follow from the shape, K is summed in order.
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/matmul_blocks.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

constexpr int64_t kPackedFloats = int64_t(2)
                                  << 20;  // packed part of B: stays in the last-level cache
constexpr int64_t kMaxDepth = 4096;       // K packed at once
constexpr int64_t kBlockLength =
    kDepth + 16;  // row length of a block of A: not a power of two, for the caches

// One product, seen as fp32 or bf16.
template <class T>
struct Product {
  const T *a, *b;
  int64_t M, N, K, lda, ldb;
  bool transpose_a, transpose_b, accumulate;
  float* out;  // or
  bf16* narrow_out;
  const float* bias;  // or
  const bf16* narrow_bias;

  float bias_of(int64_t n) const {
    return bias ? bias[n] : narrow_bias ? float(narrow_bias[n]) : 0.0f;
  }
};

// A part of B that is packed at once: columns [n0, n0 + n), rows [k0, k0 + k), as elements E.
template <class E>
struct Part {
  int64_t n0, n, k0, k;
  int64_t panels() const { return ceil_div(n, kPanel); }
  static constexpr int64_t kBlock = kDepth * kUnit<E>;  // K of a depth block
  int64_t depths() const { return ceil_div(k, kBlock); }
  // Panel j of depth block d; a depth block is contiguous.
  template <class Element>
  Element* panel(Element* packed, int64_t d, int64_t j) const {
    return packed + d * kDepth * panels() * kPanel +
           j * ceil_div(std::min(kBlock, k - d * kBlock), kUnit<E>) * kPanel;
  }
};

template <class E, class T>
void pack(const Product<T>& p, const Part<E>& part, E* packed, const Stream& stream) {
  // Items of about 64k elements.
  const int64_t panels = part.panels(),
                grain = std::max<int64_t>(1, 65536 / (kPanel * std::max<int64_t>(part.k, 1)));
  parallel_blocks(stream, panels, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t d = 0; d < part.depths(); ++d) {
      const int64_t k0 = part.k0 + d * part.kBlock,
                    k = std::min(part.kBlock, part.k - d * part.kBlock);
      for (int64_t j = begin; j < end; ++j) {
        const int64_t n0 = part.n0 + j * kPanel, n = std::min(kPanel, part.n - j * kPanel);
        const T* b = p.transpose_b ? p.b + n0 * p.ldb + k0 : p.b + k0 * p.ldb + n0;
        pack_panel(part.panel(packed, d, j), b, p.ldb, p.transpose_b, k, n);
      }
    }
  });
}

// C (m, kPanel) of a block of A: dense rows, or strips where A is transposed.
template <bool kAdd, class E>
TW_INLINE void multiply_panel(bool strips, int64_t m, int64_t k, const E* a, const E* panel,
                              float* c, int64_t ldc) {
  if (!strips)
    return gemm_columns<2, kAdd, false, Causal::none>(m, k, a, kBlockLength, panel, kPanel, c, ldc,
                                                      0, 0);
  for (int64_t i = 0; i < m; i += kTileRows) {
    gemm_columns<2, kAdd, true, Causal::none>(std::min<int64_t>(kTileRows, m - i), k, a + i * k,
                                              kTileRows, panel, kPanel, c + i * ldc, ldc, 0, 0);
  }
}

// Rows [m0, m0 + m) times panels [begin, end) of the part. `sums` (m, ld_sums) are fp32 sums of the
// columns from the first panel on; they are the output itself where that is fp32.
template <class E, class T>
void multiply(const Product<T>& p, const Part<E>& part, const E* packed, int64_t m0, int64_t m,
              int64_t begin, int64_t end, float* sums, int64_t ld_sums, E* block) {
  float edge[kRows * kPanel];
  for (int64_t d = 0; d < part.depths(); ++d) {
    const int64_t k0 = part.k0 + d * part.kBlock,
                  k = std::min(part.kBlock, part.k - d * part.kBlock);
    p.transpose_a ? pack_strips(block, p.a + k0 * p.lda + m0, p.lda, k, m)
                  : pack_rows(block, kBlockLength, p.a + m0 * p.lda + k0, p.lda, m, k);
    for (int64_t j = begin; j < end; ++j) {
      const int64_t n0 = part.n0 + j * kPanel, n = std::min(kPanel, part.n - j * kPanel);
      float *target = sums + (j - begin) * kPanel, *c = n == kPanel ? target : edge;
      const int64_t ldc = n == kPanel ? ld_sums : kPanel;
      bool add = k0 > 0 || p.accumulate;
      if (c == edge && add) {
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t jj = 0; jj < kPanel; ++jj)
            edge[i * kPanel + jj] = jj < n ? target[i * ld_sums + jj] : 0.0f;
        }
      }
      if (k0 == 0 && (p.bias || p.narrow_bias)) {
        float bias[kPanel];
        for (int64_t jj = 0; jj < kPanel; ++jj) bias[jj] = jj < n ? p.bias_of(n0 + jj) : 0.0f;
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t jj = 0; jj < kPanel; ++jj)
            c[i * ldc + jj] = bias[jj] + (add ? c[i * ldc + jj] : 0.0f);
        }
        add = true;
      }
      const E* panel = part.panel(packed, d, j);
      const int64_t units = ceil_div(k, kUnit<E>);
      add ? multiply_panel<true, E>(p.transpose_a, m, units, block, panel, c, ldc)
          : multiply_panel<false, E>(p.transpose_a, m, units, block, panel, c, ldc);
      if (c == edge) {
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t jj = 0; jj < n; ++jj) target[i * ld_sums + jj] = edge[i * kPanel + jj];
        }
      }
    }
  }
}

template <class E, class T>
void gemm(const Product<T>& p, const Stream& stream) {
  ThreadTeam& team = stream.team();
  const int64_t depth = std::min(p.K, kMaxDepth);
  const int64_t width =
      std::max(kPanel * 4, kPackedFloats / depth / kPanel * kPanel);  // columns packed at once
  const int64_t packed_width = std::min(width, ceil_div(p.N, kPanel) * kPanel);
  // bf16 output of a K in several parts keeps its fp32 sums here.
  const bool keep_sums = p.narrow_out && depth < p.K;
  const int64_t sum_floats = keep_sums ? p.M * packed_width : 0;
  const int64_t packed_elements = packed_width * ceil_div(depth, 16) * 16;
  E* packed = static_cast<E*>(
      team.workspace(size_t(packed_elements) * sizeof(E) + size_t(sum_floats) * sizeof(float)));
  float* all_sums = reinterpret_cast<float*>(packed + packed_elements);
  // At least 16 items, so that threads end together: shorter row blocks first, then fewer columns.
  const int64_t all_panels = ceil_div(packed_width, kPanel);
  int64_t rows = kRows, splits = 1;
  const auto row_blocks_of = [&](int64_t r) { return ceil_div(p.M, r); };
  while (row_blocks_of(rows) * splits < 16) {
    if (rows > kTileRows * 8 && rows / 2 % kTileRows == 0)
      rows /= 2;
    else if (all_panels / (splits * 2) >= 4)
      splits *= 2;
    else
      break;
  }
  rows = ceil_div(ceil_div(p.M, row_blocks_of(rows)), kTileRows) * kTileRows;
  const int64_t row_blocks = row_blocks_of(rows);
  for (int64_t n0 = 0; n0 < p.N; n0 += width) {
    for (int64_t k0 = 0; k0 < p.K; k0 += depth) {
      const Part<E> part{n0, std::min(width, p.N - n0), k0, std::min(depth, p.K - k0)};
      pack(p, part, packed, stream);
      const int64_t span = ceil_div(part.panels(), splits);
      team.run(row_blocks * splits, [&](int64_t item, int thread) {
        const int64_t m0 = item % row_blocks * rows, m = std::min(rows, p.M - m0);
        const int64_t begin = item / row_blocks * span, end = std::min(begin + span, part.panels());
        if (m <= 0 || begin >= end) return;
        const int64_t block_floats = kRows * kBlockLength, ld_tile = span * kPanel;
        static_assert(sizeof(E) == sizeof(float));
        E* block = static_cast<E*>(team.scratch(
            thread, size_t(block_floats + (p.narrow_out ? kRows * ld_tile : 0)) * sizeof(float)));
        const int64_t column = n0 + begin * kPanel;
        if (!p.narrow_out) {
          multiply(p, part, packed, m0, m, begin, end, p.out + m0 * p.N + column, p.N, block);
          return;
        }
        float* sums = keep_sums ? all_sums + m0 * packed_width + begin * kPanel
                                : reinterpret_cast<float*>(block + block_floats);
        const int64_t ld_sums = keep_sums ? packed_width : ld_tile;
        multiply(p, part, packed, m0, m, begin, end, sums, ld_sums, block);
        if (k0 + part.k < p.K) return;
        const int64_t n = std::min(end * kPanel, part.n) - begin * kPanel;
        for (int64_t i = 0; i < m; ++i) {
          bf16* to = p.narrow_out + (m0 + i) * p.N + column;
          int64_t j = 0;
          for (; j + kLanes <= n; j += kLanes) store(to + j, load(sums + i * ld_sums + j));
          for (; j < n; ++j) to[j] = bf16(sums[i * ld_sums + j]);
        }
      });
    }
  }
}

template <class E, class T>
void run(const MatMul& op, const Stream& stream) {
  const int64_t M = op.out.dim(0), N = op.out.dim(1), K = op.a.dim(op.transpose_a ? 0 : 1);
  Product<T> p{op.a.as<T>(),
               op.b.as<T>(),
               M,
               N,
               K,
               op.transpose_a ? M : K,
               op.transpose_b ? K : N,
               op.transpose_a,
               op.transpose_b,
               op.accumulate,
               nullptr,
               nullptr,
               nullptr,
               nullptr};
  if (op.out.dtype == DType::fp32)
    p.out = op.out.as<float>();
  else
    p.narrow_out = op.out.as<bf16>();
  if (op.bias && op.bias.dtype == DType::fp32)
    p.bias = op.bias.as<float>();
  else if (op.bias)
    p.narrow_bias = op.bias.as<bf16>();
  gemm<E>(p, stream);
}

}  // namespace

#if !defined(TW_SIMD_BF16)
void matmul_gemm(const MatMul& op, const Stream& stream) {
  op.a.dtype == DType::bf16 ? run<float, bf16>(op, stream) : run<float, float>(op, stream);
}
#endif
void matmul_bf16_pairs(const MatMul& op, const Stream& stream) { run<Bf16Pair, bf16>(op, stream); }

TW_SIMD_END
TW_SIMD_EXPORT(matmul_gemm, MatMul)
TW_SIMD_EXPORT(matmul_bf16_pairs, MatMul)
