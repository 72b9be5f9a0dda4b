#include "kernels/rope.h"

#include "kernels/cpu/vector_loop.h"

TW_SIMD_BEGIN
namespace {

template <class T>
void rotate(const Rope& op, const Stream& stream) {
  const int64_t B = op.qkv.dim(0), length = op.qkv.dim(1), slots = op.qkv.dim(2), D = op.qkv.dim(3), half = D / 2;
  const int64_t heads = op.heads + op.kv_heads;
  const float *cos = op.cos.as<float>(), *sin = op.sin.as<float>(), sign = op.backward ? -1.0f : 1.0f;
  T* qkv = op.qkv.as<T>();
  parallel_blocks(stream, B * length, 16, [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const float *c = cos + n % length * half, *s = sin + n % length * half;
      for (int64_t h = 0; h < heads; ++h) {
        T *low = qkv + (n * slots + h) * D, *high = low + half;
        for_vectors(half, [=](int64_t i, auto part) TW_STEP {
          const Vf a = get(low + i, part), b = get(high + i, part);
          const Vf vc = get(c + i, part), vs = get(s + i, part) * sign;
          put(low + i, part, a * vc - b * vs);
          put(high + i, part, b * vc + a * vs);
        });
      }
    }
  });
}

}  // namespace

void rope(const Rope& op, const Stream& stream) {
  op.qkv.dtype == DType::bf16 ? rotate<bf16>(op, stream) : rotate<float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT_BF16(rope, Rope)
