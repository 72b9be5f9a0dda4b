#include "kernels/rope.h"

#include "kernels/cpu/vector.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

template <class T>
void rotate(const Rope& op, const Stream& stream) {
  const int64_t B = op.qkv.dim(0), length = op.qkv.dim(1), slots = op.qkv.dim(2), D = op.qkv.dim(3), half = D / 2;
  const float *cos = op.cos.as<float>(), *sin = op.sin.as<float>(), sign = op.backward ? -1.0f : 1.0f;
  T* qkv = op.qkv.as<T>();
  parallel_blocks(stream, B * length, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const float *c = cos + n % length * half, *s = sin + n % length * half;
      for (int64_t h = 0; h < op.heads + op.kv_heads; ++h) {
        T *low = qkv + (n * slots + h) * D, *high = low + half;
        int64_t i = 0;
        for (; i + kLanes <= half; i += kLanes) {
          const Vf a = load(low + i), b = load(high + i), vc = load(c + i), vs = load(s + i) * sign;
          store(low + i, a * vc - b * vs);
          store(high + i, b * vc + a * vs);
        }
        for (; i < half; ++i) {
          const float a = float(low[i]), b = float(high[i]), vs = s[i] * sign;
          low[i] = T(a * c[i] - b * vs);
          high[i] = T(b * c[i] + a * vs);
        }
      }
    }
  });
}

}  // namespace

void rope(const Rope& op, const Stream& stream) {
  op.qkv.dtype == DType::bf16 ? rotate<bf16>(op, stream) : rotate<float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT(rope, Rope)
