#include "kernels/embedding.h"

#include <cstring>

#include "kernels/cpu/vector.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

template <class T>
void forward(const EmbeddingForward& op, const Stream& stream) {
  const int64_t N = op.ids.count(), length = op.ids.dim(1), V = op.tokens.dim(0), C = op.tokens.dim(1);
  const int32_t* ids = op.ids.as<int32_t>();
  for (int64_t n = 0; n < N; ++n)
    TW_CHECK(ids[n] >= 0 && ids[n] < V, data, "token {} of row {} is {}, but the vocabulary has {} tokens", n % length,
             n / length, ids[n], V);
  const T *tokens = op.tokens.as<T>(), *positions = op.positions ? op.positions.as<T>() : nullptr;
  T* x = op.x.as<T>();
  parallel_blocks(stream, N, 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const T* token = tokens + int64_t(ids[n]) * C;
      if (!positions) {
        std::memcpy(static_cast<void*>(x + n * C), token, size_t(C) * sizeof(T));
        continue;
      }
      const T* position = positions + (op.first_position + n % length) * C;
      for (int64_t c = 0; c < C; ++c) x[n * C + c] = T(float(token[c]) + float(position[c]));
    }
  });
}

template <class T>
TW_INLINE void add_row(float* to, const T* from, int64_t C) {
  for (int64_t c = 0; c < C; ++c) to[c] += float(from[c]);
}

template <class T>
void backward(const EmbeddingBackward& op, const Stream& stream) {
  const int64_t N = op.ids.count(), length = op.ids.dim(1), B = op.ids.dim(0), V = op.dtokens.dim(0), C = op.dtokens.dim(1);
  const int32_t* ids = op.ids.as<int32_t>();
  const T* dx = op.dx.as<T>();
  float* dtokens = op.dtokens.as<float>();
  // Each item owns a residue class of ids and walks all tokens in order: no two write one row.
  constexpr int64_t kClasses = 32;
  stream.team().run(kClasses, [&](int64_t item, int) {
    for (int64_t n = 0; n < N; ++n)
      if (ids[n] % kClasses == item && ids[n] < V) add_row(dtokens + int64_t(ids[n]) * C, dx + n * C, C);
  });
  if (!op.dpositions) return;
  float* dpositions = op.dpositions.as<float>();
  parallel_blocks(stream, length, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t b = 0; b < B; ++b) add_row(dpositions + t * C, dx + (b * length + t) * C, C);
  });
}

}  // namespace

void embedding_forward(const EmbeddingForward& op, const Stream& stream) {
  op.tokens.dtype == DType::bf16 ? forward<bf16>(op, stream) : forward<float>(op, stream);
}
void embedding_backward(const EmbeddingBackward& op, const Stream& stream) {
  op.dx.dtype == DType::bf16 ? backward<bf16>(op, stream) : backward<float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT(embedding_forward, EmbeddingForward)
TW_SIMD_EXPORT(embedding_backward, EmbeddingBackward)
