#include "kernels/embedding.h"
#include "kernels/int8_matmul.h"

#include <cstring>

#include "kernels/cpu/documents.h"
#include "kernels/cpu/vector_loop.h"

TW_SIMD_BEGIN
namespace {

void check_ids(const ConstView& ids, int64_t vocab) {
  const int64_t N = ids.count(), length = ids.dim(1);
  const int32_t* id = ids.as<int32_t>();
  for (int64_t n = 0; n < N; ++n)
    TW_CHECK(id[n] >= 0 && id[n] < vocab, data, "token {} of row {} is {}, but the vocabulary has {} tokens", n % length,
             n / length, id[n], vocab);
}

void check_starts(const ConstView& starts) {
  for (int64_t b = 0; starts && b < starts.dim(0); ++b)
    for_documents(starts.as<int32_t>() + b * starts.dim(1), starts.dim(1), [](int64_t, int64_t) {});
}

template <class T>
void forward(const EmbeddingForward& op, const Stream& stream) {
  const int64_t N = op.ids.count(), length = op.ids.dim(1), C = op.tokens.dim(1), first = op.first_position;
  const int32_t *ids = op.ids.as<int32_t>(), *starts = op.starts ? op.starts.as<int32_t>() : nullptr;
  const T *tokens = op.tokens.as<T>(), *positions = op.positions ? op.positions.as<T>() : nullptr;
  T* x = op.x.as<T>();
  parallel_blocks(stream, N, 64, [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const T* token = tokens + int64_t(ids[n]) * C;
      T* to = x + n * C;
      if (!positions) {
        std::memcpy(static_cast<void*>(to), token, size_t(C) * sizeof(T));
        continue;
      }
      const T* position = positions + (first + n % length - (starts ? starts[n] : 0)) * C;
      for_vectors(C, [=](int64_t c, auto part) TW_STEP { put(to + c, part, get(token + c, part) + get(position + c, part)); });
    }
  });
}

template <class T>
void forward_int8(const EmbeddingForward& op, const Stream& stream) {
  const int64_t N = op.ids.count(), length = op.ids.dim(1), C = op.x.dim(2), first = op.first_position;
  const int64_t row = op.tokens.dim(1), groups = op.token_scales.dim(1);
  const int32_t *ids = op.ids.as<int32_t>(), *starts = op.starts ? op.starts.as<int32_t>() : nullptr;
  const int8_t* tokens = op.tokens.as<int8_t>();
  const bf16* scales = op.token_scales.as<bf16>();
  const T* positions = op.positions ? op.positions.as<T>() : nullptr;
  T* x = op.x.as<T>();
  parallel_blocks(stream, N, 64, [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const int8_t* token = tokens + int64_t(ids[n]) * row;
      const bf16* scale = scales + int64_t(ids[n]) * groups;
      const T* position = positions ? positions + (first + n % length - (starts ? starts[n] : 0)) * C : nullptr;
      for (int64_t c = 0; c < C; ++c)
        x[n * C + c] = T(float(token[c]) * float(scale[c / kInt8Group]) + (position ? float(position[c]) : 0.0f));
    }
  });
}

template <class T>
TW_INLINE void add_row(float* to, const T* from, int64_t C) {
  for_vectors(C, [=](int64_t c, auto n) TW_STEP {
    put(to + c, n, get(static_cast<const float*>(to) + c, n) + get(from + c, n));
  });
}

template <class T>
void backward(const EmbeddingBackward& op, const Stream& stream) {
  const int64_t N = op.ids.count(), length = op.ids.dim(1), C = op.dtokens.dim(1);
  const int32_t* ids = op.ids.as<int32_t>();
  const T* dx = op.dx.as<T>();
  float* dtokens = op.dtokens.as<float>();
  // Tokens are sorted by a residue class of their id, in order within a class. An item is one
  // class: no two items write to one row, and every row gets its tokens in order.
  constexpr int64_t kClasses = 128;
  int64_t first[kClasses + 1] = {};
  for (int64_t n = 0; n < N; ++n) ++first[ids[n] % kClasses + 1];
  for (int64_t k = 0; k < kClasses; ++k) first[k + 1] += first[k];
  int64_t* order = static_cast<int64_t*>(stream.team().workspace(size_t(N) * sizeof(int64_t)));
  int64_t next[kClasses];
  std::memcpy(next, first, sizeof next);
  for (int64_t n = 0; n < N; ++n) order[next[ids[n] % kClasses]++] = n;
  stream.team().run(kClasses, [&](int64_t item, int) {
    for (int64_t i = first[item]; i < first[item + 1]; ++i)
      add_row(dtokens + int64_t(ids[order[i]]) * C, dx + order[i] * C, C);
  });
  if (!op.dpositions) return;
  float* dpositions = op.dpositions.as<float>();
  const int32_t* starts = op.starts ? op.starts.as<int32_t>() : nullptr;
  // An item is some columns: every position gets its rows in order, wherever documents begin.
  parallel_blocks(stream, C, 64, [=](int64_t begin, int64_t end, int) {
    for (int64_t n = 0; n < N; ++n) {
      const int64_t position = n % length - (starts ? starts[n] : 0);
      add_row(dpositions + position * C + begin, dx + n * C + begin, end - begin);
    }
  });
}

}  // namespace

void embedding_forward(const EmbeddingForward& op, const Stream& stream) {
  check_ids(op.ids, op.tokens.dim(0));
  check_starts(op.starts);
  if (op.token_scales) return op.x.dtype == DType::bf16 ? forward_int8<bf16>(op, stream) : forward_int8<float>(op, stream);
  op.tokens.dtype == DType::bf16 ? forward<bf16>(op, stream) : forward<float>(op, stream);
}
void embedding_backward(const EmbeddingBackward& op, const Stream& stream) {
  check_ids(op.ids, op.dtokens.dim(0));
  check_starts(op.starts);
  op.dx.dtype == DType::bf16 ? backward<bf16>(op, stream) : backward<float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT(embedding_forward, EmbeddingForward)
TW_SIMD_EXPORT(embedding_backward, EmbeddingBackward)
