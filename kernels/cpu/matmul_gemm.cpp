// Blocked matrix product. B is packed in panels that all threads share; an item of parallel work is
// a block of rows, packed in strips, times a range of panels. The sums of a block and a panel stay in
// L1 until all of K is added and are finished there: bias, activation, rounding. K is summed in order,
// each element on its own, so no bit depends on how the work is shared out.
#include <type_traits>

#include "kernels/cpu/gelu.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/matmul_blocks.h"
#include "kernels/cpu/vector_loop.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

constexpr int64_t kPackedUnits = int64_t(2) << 20;  // packed part of B: stays in the last-level cache

// The part of a product that is done at once: columns [n0, n0 + n), values [k0, k0 + k) of K.
struct Slice {
  int64_t n0, n, k0, k;
  int64_t panels() const { return ceil_div(n, kPanel); }
};

// Panels [begin, end) of B.
template <class E, class T>
[[gnu::noinline]] void pack_b(const MatMul& op, const Slice& slice, E* packed, int64_t begin, int64_t end) {
  const int64_t stride = op.b.dim(1), units = ceil_div(slice.k, kUnit<E>), n0 = slice.n0 + begin * kPanel,
                n = std::min(end * kPanel, slice.n) - begin * kPanel;
  E* panels = packed + begin * units * kPanel;
  if (!op.transpose_b) return pack_columns<kPanel>(panels, op.b.as<T>() + slice.k0 * stride + n0, stride, n, stride - n0, slice.k);
  for (int64_t j = 0; j < n; j += kPanel, panels += units * kPanel)
    pack_rows<kPanel>(panels, op.b.as<T>() + (n0 + j) * stride + slice.k0, stride, std::min(kPanel, n - j), slice.k);
}

// Rows [m0, m0 + m) of A in strips, one behind the other.
template <class E, class T>
[[gnu::noinline]] void pack_a(const MatMul& op, const Slice& slice, E* strips, int64_t m0, int64_t m) {
  const int64_t stride = op.a.dim(1), units = ceil_div(slice.k, kUnit<E>);
  if (op.transpose_a) return pack_columns<kTileRows>(strips, op.a.as<T>() + slice.k0 * stride + m0, stride, m, stride - m0, slice.k);
  for (int64_t i = 0; i < m; i += kTileRows, strips += units * kTileRows)
    pack_rows<kTileRows>(strips, op.a.as<T>() + (m0 + i) * stride + slice.k0, stride, std::min<int64_t>(kTileRows, m - i), slice.k);
}

template <bool kAdd, class E>
void multiply_strip(int64_t m, int64_t k, const E* a, const E* b, float* c) {
  for (int64_t i = 0; i < m; i += tile_rows(m - i))
    gemm_rows<2, kAdd, true>(tile_rows(m - i), k, a + i, kTileRows, b, kPanel, c + i * kPanel, kPanel);
}

// sums (m, kPanel) = strips times panel, both of `units` of K. On its own, so that the compiler has all registers for it.
template <class E>
[[gnu::noinline]] void multiply(int64_t m, int64_t units, const E* strips, const E* panel, float* sums) {
  const int64_t depths = ceil_div(units, kDepth), depth = ceil_div(units, std::max<int64_t>(depths, 1));
  if (units == 0) std::fill_n(sums, m * kPanel, 0.0f);
  for (int64_t p = 0; p < units; p += depth) {
    const int64_t k = std::min(depth, units - p);
    for (int64_t i = 0; i < m; i += kTileRows) {
      const E *a = strips + i * units + p * kTileRows, *b = panel + p * kPanel;
      const int64_t rows = std::min<int64_t>(kTileRows, m - i);
      p > 0 ? multiply_strip<true>(rows, k, a, b, sums + i * kPanel) : multiply_strip<false>(rows, k, a, b, sums + i * kPanel);
    }
  }
}

// A block of the output, (m, n) from (m0, n0) on, with its sums (m, kPanel).
struct Block {
  int64_t m0, m, n0, n;
  const float* sums;
};

// to (m, n), rows `stride` apart, = or += the sums of a part of K.
TW_INLINE void keep(const Block& block, float* to, int64_t stride, bool add) {
  for (int64_t i = 0; i < block.m; ++i) {
    for_vectors(block.n, [&](int64_t j, auto n) TW_STEP {
      const Vf sum = get(block.sums + i * kPanel + j, n);
      float* at = to + i * stride + j;
      put(at, n, add ? get(static_cast<const float*>(at), n) + sum : sum);
    });
  }
}

// The output from the sums of the last part of K and, unless null, of those before, which hold what stood in an output of fp32 that is added to.
template <class T>
[[gnu::noinline]] void finish(const MatMul& op, const Block& block, const float* before, int64_t stride) {
  const int64_t N = op.out.dim(1), place = block.m0 * N + block.n0;
  T *out = op.out.as<T>() + place, *aux = op.aux ? op.aux.as<T>() + place : nullptr;
  const bool added_to = std::is_same_v<T, bf16> && op.accumulate;
  float bias[kPanel] = {};
  for (int64_t j = 0; op.bias && j < block.n; ++j)
    bias[j] = bias_at(op.bias, block.n0 + j);
  const auto each = [&](auto store) __attribute__((always_inline)) {
    const auto row = [&](int64_t i, int64_t columns) TW_STEP {
      for_vectors(columns, [&](int64_t j, auto n) TW_STEP {
        Vf value = get(block.sums + i * kPanel + j, n);
        if (before) value = get(before + i * stride + j, n) + value;
        if (added_to) value = get(static_cast<const T*>(out) + i * N + j, n) + value;
        store(i * N + j, n, value + load(bias + j));
      });
    };
    if (block.n == kPanel) {
      for (int64_t i = 0; i < block.m; ++i) row(i, kPanel);
    } else {
      for (int64_t i = 0; i < block.m; ++i) row(i, block.n);
    }
  };
  const auto gelu = [&](auto form) __attribute__((always_inline)) {
    using Form = decltype(form);
    if (op.epilogue == Epilogue::gelu) {
      each([&](int64_t at, auto n, Vf value) TW_STEP {
        put(aux + at, n, value);
        put(out + at, n, Form::value(get(static_cast<const T*>(aux) + at, n)));  // of what backward will see
      });
    } else {
      each([&](int64_t at, auto n, Vf value) TW_STEP {
        put(out + at, n, value * Form::slope(get(static_cast<const T*>(aux) + at, n)));
      });
    }
  };
  if (op.epilogue == Epilogue::none) each([&](int64_t at, auto n, Vf value) TW_STEP { put(out + at, n, value); });
  else if (op.tanh_form) gelu(TanhForm{});
  else gelu(ErfForm{});
}

// Into how many ranges the panels of a slice are split where there are few blocks of rows: eight items a thread and 16
// at least, so that threads end together.
int64_t splits_of(int64_t row_blocks, int64_t panels, int threads) {
  const int64_t wanted = std::max<int64_t>(16, 8 * threads);
  return std::clamp<int64_t>(ceil_div(wanted, row_blocks), 1, std::max<int64_t>(1, panels / 2));
}

template <class E, class T>
void gemm(const MatMul& op, const Stream& stream) {
  static_assert(sizeof(E) == sizeof(float));
  ThreadTeam& team = stream.team();
  const int64_t M = op.out.dim(0), N = op.out.dim(1), K = op.a.dim(op.transpose_a ? 0 : 1);
  const bool narrow = op.out.dtype == DType::bf16;
  const int64_t units = ceil_div(K, kUnit<E>), parts = std::max<int64_t>(1, ceil_div(units, kMaxDepth));
  const int64_t depth = std::max<int64_t>(1, ceil_div(units, parts));
  // Columns packed at once.
  const int64_t width = std::min(std::max(kPanel * 4, kPackedUnits / depth / kPanel * kPanel), ceil_div(N, kPanel) * kPanel);
  const int64_t row_blocks = ceil_div(M, kRows), rows = ceil_div(ceil_div(M, row_blocks), kTileRows) * kTileRows;
  const int64_t splits = splits_of(row_blocks, width / kPanel, team.size());
  // A block of A is packed by the item that needs it, or where several do, by all before.
  const int64_t block_elements = rows * depth + kOverhang, shared_a = splits > 1 ? row_blocks * block_elements : 0;
  // The sums of K in several parts are kept in the output where it is fp32, else behind the packed operands.
  const int64_t kept = narrow && parts > 1 ? M * width : 0;
  E* packed_b = static_cast<E*>(team.workspace(size_t(width * depth + shared_a + kept) * sizeof(E)));
  E* packed_a = packed_b + width * depth;
  float* sums_kept = reinterpret_cast<float*>(packed_a + shared_a);
  for (int64_t n0 = 0; n0 < N; n0 += width) {
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t k0 = part * depth * kUnit<E>;
      const Slice slice{n0, std::min(width, N - n0), k0, std::min(depth * kUnit<E>, K - k0)};
      const int64_t slice_units = ceil_div(slice.k, kUnit<E>), panels = slice.panels();
      // Items of about 64k elements.
      const int64_t grain = std::max<int64_t>(1, 65536 / (kPanel * std::max<int64_t>(slice_units, 1)));
      const int64_t items_of_b = ceil_div(panels, grain), items_of_a = shared_a ? row_blocks : 0;
      team.run(items_of_a + items_of_b, [&](int64_t item, int) {
        if (item < items_of_a) return pack_a<E, T>(op, slice, packed_a + item * block_elements, item * rows, std::min(rows, M - item * rows));
        const int64_t begin = (item - items_of_a) * grain;
        pack_b<E, T>(op, slice, packed_b, begin, std::min(begin + grain, panels));
      });
      const int64_t span = ceil_div(panels, splits);
      team.run(row_blocks * splits, [&](int64_t item, int thread) {
        const int64_t row_block = item % row_blocks, m0 = row_block * rows, m = std::min(rows, M - m0);
        const int64_t begin = item / row_blocks * span, end = std::min(begin + span, panels);
        if (begin >= end) return;
        float* sums = static_cast<float*>(team.scratch(thread, size_t(rows * kPanel + (shared_a ? 0 : block_elements)) * sizeof(float)));
        E* strips = shared_a ? packed_a + row_block * block_elements : reinterpret_cast<E*>(sums + rows * kPanel);
        if (!shared_a) pack_a<E, T>(op, slice, strips, m0, m);
        for (int64_t j = begin; j < end; ++j) {
          const Block block{m0, m, n0 + j * kPanel, std::min(kPanel, slice.n - j * kPanel), sums};
          float* before = narrow ? sums_kept + m0 * width + j * kPanel : op.out.as<float>() + m0 * N + block.n0;
          const int64_t stride = narrow ? width : N;
          const bool add = part > 0 || (op.accumulate && !narrow);
          if (add) {  // it may be far away
            for (int64_t i = 0; i < m; ++i)
              __builtin_prefetch(before + i * stride, 1), __builtin_prefetch(before + i * stride + kPanel / 2, 1);
          }
          multiply(m, slice_units, strips, packed_b + j * slice_units * kPanel, sums);
          if (part + 1 < parts) keep(block, before, stride, add);
          else if (narrow) finish<bf16>(op, block, add ? before : nullptr, stride);
          else finish<float>(op, block, add ? before : nullptr, stride);
        }
      });
    }
  }
}

}  // namespace

#if !defined(TW_SIMD_BF16)
void matmul_gemm(const MatMul& op, const Stream& stream) {
  op.a.dtype == DType::bf16 ? gemm<float, bf16>(op, stream) : gemm<float, float>(op, stream);
}
#endif
void matmul_bf16_pairs(const MatMul& op, const Stream& stream) { gemm<Bf16Pair, bf16>(op, stream); }

TW_SIMD_END
TW_SIMD_EXPORT(matmul_gemm, MatMul)
TW_SIMD_EXPORT(matmul_bf16_pairs, MatMul)
