// Few rows times weights of 8-bit integers, as generation does it: bound by memory, every weight is read once. Activations
// become 16-bit integers, so that a step is one multiplication of pairs and no weight is turned into a float.
#include "kernels/int8_matmul.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/few_rows.h"
#include "kernels/cpu/matmul.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

constexpr float kLargest = 32767;  // 127 * 32767 * kInt8Group < 2^31: a group's sum fits

typedef int8_t Bytes __attribute__((vector_size(kLanes * 2)));
typedef int16_t Shorts __attribute__((vector_size(kLanes * 4)));

TW_INLINE Shorts load(const int8_t* p) {
  Bytes b;
  std::memcpy(&b, p, sizeof b);
  return __builtin_convertvector(b, Shorts);
}
TW_INLINE Shorts load(const int16_t* p) {
  Shorts s;
  std::memcpy(&s, p, sizeof s);
  return s;
}
// Lane i: a[2i] b[2i] + a[2i+1] b[2i+1].
TW_INLINE Vi pair_products(Shorts a, Shorts b) {
#if TW_SIMD_LEVEL == 4
  typedef short Short32 __attribute__((vector_size(64)));
  return (Vi)__builtin_ia32_pmaddwd512_mask((Short32)a, (Short32)b, Vi{}, -1);
#elif TW_SIMD_LEVEL == 3
  typedef short Short16 __attribute__((vector_size(32)));
  return (Vi)__builtin_ia32_pmaddwd256((Short16)a, (Short16)b);
#elif defined(__SSE2__)
  typedef short Short8 __attribute__((vector_size(16)));
  return (Vi)__builtin_ia32_pmaddwd128((Short8)a, (Short8)b);
#else
  Vi sum;
  for (int i = 0; i < kLanes; ++i) sum[i] = int32_t(a[2 * i]) * b[2 * i] + int32_t(a[2 * i + 1]) * b[2 * i + 1];
  return sum;
#endif
}

TW_INLINE Vf floats(const float* p) { return tw::cpu::TW_SIMD_NAMESPACE::load(p); }  // load of integers hides that of floats
TW_INLINE Vf floats(const bf16* p) { return tw::cpu::TW_SIMD_NAMESPACE::load(p); }

// Rows of x as integers: (M, row) int16, 0 behind K, and scales, `stride` floats a row, 0 behind its groups.
struct Activations {
  int16_t* values;
  float* scales;
  int64_t row, groups, stride;
};

template <class T>
void quantize(const T* x, int64_t M, int64_t K, Activations to) {
  for (int64_t m = 0; m < M; ++m) {
    std::fill(to.scales + m * to.stride + to.groups, to.scales + (m + 1) * to.stride, 0.0f);
    for (int64_t g = 0; g < to.groups; ++g) {
      const T* from = x + m * K + g * kInt8Group;
      int16_t* out = to.values + m * to.row + g * kInt8Group;
      const int64_t count = std::min(kInt8Group, K - g * kInt8Group);
      float wide[kInt8Group];
      for (int64_t i = 0; i < count; ++i) wide[i] = float(from[i]);
      for (int64_t i = count; i < kInt8Group; ++i) wide[i] = 0;
      Vf magnitude = {}, difference = {};
      for (int i = 0; i < kInt8Group; i += kLanes) {
        const Vf v = floats(wide + i);
        magnitude = larger(v < 0.0f ? -v : v, magnitude);
        difference += v - v;  // NaN where v is not finite
      }
      const float largest = max(magnitude), nothing = sum(difference);
      const bool finite = nothing == 0;
      to.scales[m * to.stride + g] = finite ? largest / kLargest : std::numeric_limits<float>::quiet_NaN();
      const float factor = finite && largest > 0 ? std::min(kLargest / largest, std::numeric_limits<float>::max()) : 0.0f;
      for (int i = 0; i < kInt8Group; i += kLanes) {
        Vf v = floats(wide + i) * factor;
        const Vf magic = fill(0x1.8p23f);  // adding it rounds to an integer
        v = finite ? (v + magic) - magic : Vf{};
        typedef int16_t Narrow __attribute__((vector_size(kLanes * 2)));
        const Narrow narrow = __builtin_convertvector(__builtin_convertvector(v, Vi), Narrow);
        std::memcpy(out + i, &narrow, sizeof narrow);
      }
    }
  }
}

// The sum of lanes[m] is x[m,:] . w. whole: kLanes scales may be read from each that belongs to w.
template <int M>
TW_INLINE void dots(const Activations& x, const int8_t* w, const bf16* scales, bool whole, Vf (&lanes)[M]) {
  for (int m = 0; m < M; ++m) lanes[m] = Vf{};
  for (int64_t first = 0; first < x.groups; first += kLanes) {
    const int64_t count = std::min<int64_t>(kLanes, x.groups - first);
    const Vf of_weights = whole ? floats(scales + first) : load_some(scales + first, count);
    float factors[M][kLanes];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) store(factors[m], of_weights * floats(x.scales + m * x.stride + first));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t k = (first + i) * kInt8Group;
      Vi sums[M] = {};
#pragma GCC unroll 8
      for (int j = 0; j < kInt8Group; j += 2 * kLanes) {
        const Shorts weights = load(w + k + j);
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) sums[m] += pair_products(weights, load(x.values + m * x.row + k + j));
      }
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) lanes[m] += __builtin_convertvector(sums[m], Vf) * factors[m][i];
    }
  }
}

TW_INLINE void put_out(const Int8MatMul& op, int64_t i, float y) {
  if (op.out.dtype == DType::bf16) static_cast<bf16*>(op.out.data)[i] = bf16(y);
  else static_cast<float*>(op.out.data)[i] = y;
}

// Weight rows [begin, end).
template <int M>
void range(const Int8MatMul& op, const Activations& x, int64_t begin, int64_t end) {
  const int64_t N = op.out.dim(1), padded = (x.groups + kLanes - 1) / kLanes * kLanes;
  const int8_t* values = static_cast<const int8_t*>(op.values.data);
  const bf16* scales = static_cast<const bf16*>(op.scales.data);
  for_weight_rows<M>(
      begin, end,
      [&](int64_t row, int64_t, Vf(&lanes)[M]) __attribute__((always_inline)) {
        dots<M>(x, values + row * x.row, scales + row * x.groups, row * x.groups + padded <= N * x.groups, lanes);
      },
      [&](int m, int64_t row, int64_t, float sum) __attribute__((always_inline)) { put_out(op, m * N + row, sum + bias_at(op.bias, row)); });
}

}  // namespace

void int8_few_rows(const Int8MatMul& op, const Stream& stream) {
  const int64_t M = op.a.dim(0), K = op.a.dim(1), N = op.out.dim(1);
  const int64_t groups = int8_groups(K), row = int8_row(K), stride = (groups + kLanes - 1) / kLanes * kLanes;
  char* memory = static_cast<char*>(stream.team().workspace(size_t(M * row) * sizeof(int16_t) + size_t(M * stride) * sizeof(float)));
  const Activations x{reinterpret_cast<int16_t*>(memory), reinterpret_cast<float*>(memory + size_t(M * row) * sizeof(int16_t)), row, groups, stride};
  op.a.dtype == DType::bf16 ? quantize(op.a.as<bf16>(), M, K, x) : quantize(op.a.as<float>(), M, K, x);
  const int64_t grain = std::max<int64_t>(1, 32768 / (std::max<int64_t>(row, 1) * kLanes)) * kLanes;  // blocks of about 32 KiB
  parallel_stretches(stream, N, grain, [&](int64_t begin, int64_t end, int) {
    with_rows(M, [&](auto m) { range<m>(op, x, begin, end); });
  });
}

TW_SIMD_END
TW_SIMD_EXPORT(int8_few_rows, Int8MatMul)
