// Weights to 8-bit integers, and products of many rows with them.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/matmul.h"
#include "kernels/int8_matmul.h"
#include "src/core/thread_team.h"

namespace tw {
namespace {

constexpr int64_t kWeightRows = 512, kRows = 512;  // of one product: both operands and the result stay in the caches

// The smallest bf16 s with 127 s >= largest.
bf16 scale_of(float largest) {
  bf16 scale(largest / 127);
  if (float(scale) * 127 < largest) ++scale.bits;
  return scale;
}

template <class T>
void dequantize(const Int8MatMul& op, int64_t first, int64_t rows, T* to, const Stream& stream) {
  const int64_t K = op.a.dim(1), row = op.values.dim(1), groups = op.scales.dim(1);
  const int8_t* values = op.values.as<int8_t>() + first * row;
  const bf16* scales = op.scales.as<bf16>() + first * groups;
  parallel_blocks(stream, rows, 16, [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t g = 0; g < groups; ++g) {
        const float scale = float(scales[n * groups + g]);
        const int8_t* from = values + n * row + g * kInt8Group;
        T* out = to + n * K + g * kInt8Group;
        const int64_t count = std::min(kInt8Group, K - g * kInt8Group);
        for (int64_t i = 0; i < count; ++i) out[i] = T(float(from[i]) * scale);
      }
  });
}

template <class T>
void many_rows(const Int8MatMul& op, const Stream& stream) {
  const int64_t M = op.a.dim(0), K = op.a.dim(1), N = op.out.dim(1);
  const size_t element = size_of(op.out.dtype);
  char* const scratch = static_cast<char*>(op.scratch.data);
  T* const weights = reinterpret_cast<T*>(scratch + kRows * kWeightRows * int64_t(sizeof(float)));
  char* const out = static_cast<char*>(op.out.data);
  for (int64_t n = 0; n < N; n += kWeightRows) {
    const int64_t columns = std::min(kWeightRows, N - n);
    dequantize(op, n, columns, weights, stream);
    for (int64_t m = 0; m < M; m += kRows) {
      const int64_t rows = std::min(kRows, M - m);
      const View part(scratch, op.out.dtype, {rows, columns});
      cpu::matmul({.a = op.a.rows(m, m + rows), .b = ConstView(weights, op.a.dtype, {columns, K}), .out = part,
                   .bias = op.bias ? op.bias.flat(n, n + columns) : ConstView{}, .transpose_b = true},
                  stream);
      for (int64_t i = 0; i < rows; ++i)
        std::memcpy(out + size_t((m + i) * N + n) * element, scratch + size_t(i * columns) * element, size_t(columns) * element);
    }
  }
}

}  // namespace

int64_t int8_scratch(int64_t K) { return (kRows * kWeightRows + kWeightRows * K) * int64_t(sizeof(float)); }

void cpu::quantize_int8(const QuantizeInt8& op, const Stream& stream) {
  const int64_t N = op.weights.dim(0), K = op.weights.dim(1), row = op.values.dim(1), groups = op.scales.dim(1);
  const float* weights = op.weights.as<float>();
  int8_t* values = op.values.as<int8_t>();
  bf16* scales = op.scales.as<bf16>();
  std::atomic<bool> bad = false;
  parallel_blocks(stream, N, 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t k = g * kInt8Group, count = std::min(kInt8Group, K - k);
        const float* from = weights + n * K + k;
        int8_t* to = values + n * row + k;
        float largest = 0;
        bool finite = true;
        for (int64_t i = 0; i < count; ++i) {
          finite = finite && std::isfinite(from[i]);
          largest = std::max(largest, std::abs(from[i]));
        }
        const bf16 scale = scale_of(largest);
        if (!finite || !std::isfinite(float(scale))) bad = true;
        scales[n * groups + g] = scale;
        const float s = float(scale);
        std::fill(to, to + kInt8Group, int8_t(0));
        if (!finite || s == 0) continue;
        constexpr float kMagic = 0x1.8p23f;  // adding it rounds to an integer
        for (int64_t i = 0; i < count; ++i) to[i] = int8_t(int32_t(std::clamp((from[i] / s + kMagic) - kMagic, -127.0f, 127.0f)));
      }
  });
  TW_CHECK(!bad, data, "a weight is not finite: it has no 8-bit value");
}

void cpu::int8_matmul(const Int8MatMul& op, const Stream& stream) {
  if (op.a.dim(0) <= kFewRows) return int8_few_rows(op, stream);
  op.a.dtype == DType::bf16 ? many_rows<bf16>(op, stream) : many_rows<float>(op, stream);
}

}  // namespace tw
