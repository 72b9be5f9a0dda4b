// Convolutions as products of matrices that are never written whole: a block of rows of the left one, the values that a pixel's
// sum takes, is gathered into L2 and multiplied there (Chellapilla, Puri & Simard 2006, section 4.1, block by block).
#include "kernels/conv2d.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/matmul_blocks.h"
#include "kernels/cpu/vector_loop.h"

TW_SIMD_BEGIN
namespace {

constexpr int kMostTaps = 64;  // places of a kernel that are gathered in one go

struct Tap {
  int64_t row, column;  // of the source, from the place a pixel's sum is at
  int64_t place;        // r * S + s
};

// Rows of the left matrix: for pixel (i, j) of I x J, the channels at (i * step + tap.row, j * step + tap.column) of each tap.
struct Gather {
  const float* from;
  int64_t H, W, C;  // of a source picture
  int64_t I, J, step;
  const Tap* taps;
  int64_t tap_count;
  int64_t depth() const { return tap_count * C; }

  // Columns [begin, end) of rows [first, first + count), `stride` apart.
  void rows(int64_t first, int64_t count, int64_t begin, int64_t end, float* to, int64_t stride) const {
    for (int64_t m = first; m < first + count; ++m, to += stride) {
      const int64_t j = m % J, i = m / J % I;
      const float* picture = from + m / (I * J) * H * W * C;
      for (int64_t k = begin; k < end;) {
        const int64_t t = k / C, c = k % C, n = std::min(C - c, end - k);
        const int64_t h = i * step + taps[t].row, w = j * step + taps[t].column;
        if (h >= 0 && h < H && w >= 0 && w < W) std::memcpy(to + (k - begin), picture + (h * W + w) * C + c, size_t(n) * sizeof(float));
        else std::memset(to + (k - begin), 0, size_t(n) * sizeof(float));
        k += n;
      }
    }
  }
};

// Where the product's rows go: pixel (i, j) of the gather is (i * step + row, j * step + column) of the output.
struct Scatter {
  float* to;
  int64_t H, W, N, step, row, column;
  const float* bias;  // (N) or null
};

// The panels of B, one behind the other, are (depth, kPanel) each.
void product(const Gather& a, const float* panels, const Scatter& out, int64_t pictures, const Stream& stream) {
  const int64_t M = pictures * a.I * a.J, K = a.depth(), count = ceil_div(out.N, kPanel);
  ThreadTeam& team = stream.team();
  parallel_blocks(stream, M, kRows, [&](int64_t begin, int64_t end, int thread) {
    float* rows = static_cast<float*>(team.scratch(thread, size_t(kRows * (K + kPanel)) * sizeof(float)));
    float* sums = rows + kRows * K;
    a.rows(begin, end - begin, 0, K, rows, K);
    for (int64_t p = 0; p < count; ++p) {
      const int64_t n0 = p * kPanel, n = std::min(kPanel, out.N - n0);
      for (int64_t k = 0; k < K; k += kDepth) {
        const int64_t d = std::min(kDepth, K - k);
        const float *left = rows + k, *right = panels + (p * K + k) * kPanel;
        // Half a panel where the other half is empty.
        if (n <= kLanes) {
          if (k == 0) gemm_columns<1, false, false, Causal::none>(end - begin, d, left, K, right, kPanel, sums, kPanel, 0, 0);
          else gemm_columns<1, true, false, Causal::none>(end - begin, d, left, K, right, kPanel, sums, kPanel, 0, 0);
        } else {
          if (k == 0) gemm_columns<2, false, false, Causal::none>(end - begin, d, left, K, right, kPanel, sums, kPanel, 0, 0);
          else gemm_columns<2, true, false, Causal::none>(end - begin, d, left, K, right, kPanel, sums, kPanel, 0, 0);
        }
      }
      for (int64_t m = begin; m < end; ++m) {
        const int64_t j = m % a.J, i = m / a.J % a.I, picture = m / (a.I * a.J);
        float* to = out.to + ((picture * out.H + i * out.step + out.row) * out.W + j * out.step + out.column) * out.N + n0;
        const float* from = sums + (m - begin) * kPanel;
        for_vectors(n, [&](int64_t c, auto some) TW_STEP { put(to + c, some, K == 0 ? Vf{} : get(from + c, some)); });
        if (out.bias)
          for_vectors(n, [&](int64_t c, auto some) TW_STEP { put(to + c, some, get(static_cast<const float*>(to) + c, some) + get(out.bias + n0 + c, some)); });
      }
    }
  });
}

const float* bias_of(const ConstView& bias) { return bias ? bias.as<float>() : nullptr; }

}  // namespace

void conv2d(const Conv2d& op, const Stream& stream) {
  const int64_t O = op.weight.dim(0), R = op.weight.dim(1), S = op.weight.dim(2), C = op.weight.dim(3), K = R * S * C;
  TW_CHECK(R * S <= kMostTaps, bug, "[conv2d] a kernel of {} x {}", R, S);
  Tap taps[kMostTaps];
  for (int64_t t = 0; t < R * S; ++t) taps[t] = {t / S - op.padding, t % S - op.padding, t};
  float* panels = static_cast<float*>(stream.team().workspace(size_t(ceil_div(O, kPanel) * kPanel * K) * sizeof(float)));
  const float* weight = op.weight.as<float>();
  parallel_blocks(stream, O, kPanel, [&](int64_t begin, int64_t end, int) { pack_rows<kPanel>(panels + begin * K, weight + begin * K, K, end - begin, K); });
  product({op.x.as<float>(), op.x.dim(1), op.x.dim(2), C, op.y.dim(1), op.y.dim(2), op.stride, taps, R * S}, panels,
          {op.y.as<float>(), op.y.dim(1), op.y.dim(2), O, 1, 0, 0, bias_of(op.bias)}, op.x.dim(0), stream);
}

// Pixels of x by their place within a stride: those of one have the same taps, and without the zeros between the pixels of y.
void conv2d_transpose(const Conv2dTranspose& op, const Stream& stream) {
  const int64_t O = op.weight.dim(0), R = op.weight.dim(1), S = op.weight.dim(2), C = op.weight.dim(3), s = op.stride;
  TW_CHECK(R * S <= kMostTaps, bug, "[conv2d_transpose] a kernel of {} x {}", R, S);
  const float* weight = op.weight.as<float>();
  float* panels = static_cast<float*>(stream.team().workspace(size_t(ceil_div(C, kPanel) * kPanel * R * S * O) * sizeof(float)));
  for (int64_t row = 0; row < std::min<int64_t>(s, op.x.dim(1)); ++row)
    for (int64_t column = 0; column < std::min<int64_t>(s, op.x.dim(2)); ++column) {
      Tap taps[kMostTaps];
      int64_t count = 0;
      for (int64_t t = 0; t < R * S; ++t) {
        const int64_t h = row + op.padding - t / S, w = column + op.padding - t % S;
        if (h % s == 0 && w % s == 0) taps[count++] = {h / s, w / s, t};
      }
      parallel_blocks(stream, C, kPanel, [&](int64_t begin, int64_t end, int) {
        float* to = panels + begin * count * O;
        for (int64_t t = 0; t < count; ++t)
          for (int64_t o = 0; o < O; ++o, to += kPanel) {
            std::memcpy(to, weight + (o * R * S + taps[t].place) * C + begin, size_t(end - begin) * sizeof(float));
            std::fill(to + (end - begin), to + kPanel, 0.0f);
          }
      });
      product({op.y.as<float>(), op.y.dim(1), op.y.dim(2), O, (op.x.dim(1) - row + s - 1) / s, (op.x.dim(2) - column + s - 1) / s, 1, taps, count}, panels,
              {op.x.as<float>(), op.x.dim(1), op.x.dim(2), C, s, row, column, bias_of(op.bias)}, op.x.dim(0), stream);
    }
}

// An item is a panel of the kernel's places times a range of the pixels; ranges, fixed by the shape, are added in order.
void conv2d_weight_gradient(const Conv2dWeightGradient& op, const Stream& stream) {
  const int64_t O = op.dweight.dim(0), R = op.dweight.dim(1), S = op.dweight.dim(2), C = op.dweight.dim(3), K = R * S * C;
  TW_CHECK(R * S <= kMostTaps, bug, "[conv2d_weight_gradient] a kernel of {} x {}", R, S);
  Tap taps[kMostTaps];
  for (int64_t t = 0; t < R * S; ++t) taps[t] = {t / S - op.padding, t % S - op.padding, t};
  const Gather gather{op.x.as<float>(), op.x.dim(1), op.x.dim(2), C, op.dy.dim(1), op.dy.dim(2), op.stride, taps, R * S};
  const int64_t M = op.dy.dim(0) * op.dy.dim(1) * op.dy.dim(2), panels = ceil_div(K, kPanel);
  constexpr int64_t kWanted = 16;  // items at least, where there are as many ranges of kDepth pixels
  const int64_t ranges = std::clamp<int64_t>(ceil_div(kWanted, panels), 1, ceil_div(M, kDepth)), range = ceil_div(ceil_div(M, ranges), kDepth) * kDepth;
  const float* dy = op.dy.as<float>();
  ThreadTeam& team = stream.team();
  float* partial = static_cast<float*>(team.workspace(size_t(ranges * panels * O * kPanel) * sizeof(float)));
  team.run(panels * ranges, [&](int64_t item, int thread) {
    const int64_t k0 = item % panels * kPanel, n = std::min(kPanel, K - k0), first = item / panels * range, last = std::min(M, first + range);
    float *sums = partial + item * O * kPanel, *rows = static_cast<float*>(team.scratch(thread, size_t(kDepth * kPanel) * sizeof(float)));
    std::fill_n(sums, O * kPanel, 0.0f);
    if (n < kPanel) std::fill_n(rows, kDepth * kPanel, 0.0f);
    for (int64_t m = first; m < last; m += kDepth) {
      const int64_t count = std::min(kDepth, last - m);
      gather.rows(m, count, k0, k0 + n, rows, kPanel);
      gemm_columns<2, true, true, Causal::none>(O, count, dy + m * O, O, rows, kPanel, sums, kPanel, 0, 0);
    }
  });
  float* dweight = op.dweight.as<float>();
  parallel_blocks(stream, O, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t o = begin; o < end; ++o)
      for (int64_t p = 0; p < panels; ++p) {
        float* to = dweight + o * K + p * kPanel;
        for_vectors(std::min(kPanel, K - p * kPanel), [&](int64_t j, auto some) TW_STEP {
          Vf sum = get(static_cast<const float*>(to) + j, some);
          for (int64_t r = 0; r < ranges; ++r) sum += get(static_cast<const float*>(partial) + ((r * panels + p) * O + o) * kPanel + j, some);
          put(to + j, some, sum);
        });
      }
  });
}

TW_SIMD_END
TW_SIMD_EXPORT(conv2d, Conv2d)
TW_SIMD_EXPORT(conv2d_transpose, Conv2dTranspose)
TW_SIMD_EXPORT(conv2d_weight_gradient, Conv2dWeightGradient)
