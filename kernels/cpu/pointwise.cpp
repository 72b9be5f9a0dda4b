#include "kernels/pointwise.h"

#include <cstring>
#include <type_traits>

#include "kernels/cpu/gelu.h"
#include "kernels/cpu/vector_loop.h"

TW_SIMD_BEGIN
namespace {

template <class Form, class T>
void gelu_forward_of(const GeluForward& op, const Stream& stream) {
  const T* x = op.x.as<T>();
  T* y = op.y.as<T>();
  for_elements(stream, op.x.count(), [=](int64_t i, auto n) TW_STEP {
    put(y + i, n, Form::value(get(x + i, n)));
  });
}

template <class Form, class T>
void gelu_backward_of(const GeluBackward& op, const Stream& stream) {
  const T *x = op.x.as<T>(), *dy = op.dy.as<T>();
  T* dx = op.dx.as<T>();
  for_elements(stream, op.x.count(), [=](int64_t i, auto n) TW_STEP {
    put(dx + i, n, get(dy + i, n) * Form::slope(get(x + i, n)));
  });
}

template <class T>
void swiglu_forward_of(const SwigluForward& op, const Stream& stream) {
  const int64_t F = op.y.dim(1);
  const T* in = op.gate_up.as<T>();
  T* y = op.y.as<T>();
  parallel_blocks(stream, op.y.dim(0), 8, [=](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const T *gate = in + r * 2 * F, *up = gate + F;
      T* to = y + r * F;
      for_vectors(F, [=](int64_t f, auto n) TW_STEP {
        const Vf g = get(gate + f, n);
        put(to + f, n, g * get(up + f, n) * sigmoid(g));
      });
    }
  });
}

template <class T>
void swiglu_backward_of(const SwigluBackward& op, const Stream& stream) {
  const int64_t F = op.dy.dim(1);
  const T *in = op.gate_up.as<T>(), *dy = op.dy.as<T>();
  T* out = op.dgate_up.as<T>();
  parallel_blocks(stream, op.dy.dim(0), 8, [=](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const T *gate = in + r * 2 * F, *from = dy + r * F;
      T* dgate = out + r * 2 * F;
      for_vectors(F, [=](int64_t f, auto n) TW_STEP {
        const Vf g = get(gate + f, n), up = get(gate + F + f, n), d = get(from + f, n), s = sigmoid(g);
        put(dgate + f, n, d * up * s * (1.0f + g * (1.0f - s)));
        put(dgate + F + f, n, d * g * s);
      });
    }
  });
}

// Rows are added in blocks of 64, then the blocks' sums in order.
template <class T>
void bias_backward_of(const BiasBackward& op, const Stream& stream) {
  constexpr int64_t kRows = 64;
  const int64_t N = op.dy.dim(0), C = op.dy.dim(1), blocks = (N + kRows - 1) / kRows;
  const T* dy = op.dy.as<T>();
  float* dbias = op.dbias.as<float>();
  float* partial = static_cast<float*>(stream.team().workspace(size_t(blocks * C) * sizeof(float)));
  parallel_blocks(stream, N, kRows, [=](int64_t begin, int64_t end, int) {
    float* to = partial + begin / kRows * C;
    std::memset(to, 0, size_t(C) * sizeof(float));
    for (int64_t r = begin; r < end; ++r) {
      const T* from = dy + r * C;
      for_vectors(C, [=](int64_t c, auto n) TW_STEP {
        put(to + c, n, get(static_cast<const float*>(to) + c, n) + get(from + c, n));
      });
    }
  });
  add_rows_in_order(stream, partial, blocks, C, C, dbias);
}

template <class T>
void add_of(const Add& op, const Stream& stream) {
  const T *a = op.a.as<T>(), *b = op.b.as<T>();
  T* out = op.out.as<T>();
  for_elements(stream, op.a.count(), [=](int64_t i, auto n) TW_STEP {
    put(out + i, n, get(a + i, n) + get(b + i, n));
  });
}

template <class In, class Out>
void cast_of(const Cast& op, const Stream& stream) {
  const In* in = op.in.as<In>();
  Out* out = op.out.as<Out>();
  if constexpr (std::is_same_v<In, Out>) {
    if (in == out) return;
    parallel_blocks(stream, op.in.count(), 1 << 16, [=](int64_t begin, int64_t end, int) {
      std::memcpy(static_cast<void*>(out + begin), in + begin, size_t(end - begin) * sizeof(In));
    });
  } else {
    for_elements(stream, op.in.count(), [=](int64_t i, auto n) TW_STEP { put(out + i, n, get(in + i, n)); });
  }
}

template <class In>
void cast_from(const Cast& op, const Stream& stream) {
  if (op.out.dtype == DType::fp32) cast_of<In, float>(op, stream);
  else if (op.out.dtype == DType::bf16) cast_of<In, bf16>(op, stream);
  else cast_of<In, fp16>(op, stream);
}

}  // namespace

void gelu_forward(const GeluForward& op, const Stream& stream) {
  const bool half = op.x.dtype == DType::bf16;
  if (op.tanh_form) half ? gelu_forward_of<TanhForm, bf16>(op, stream) : gelu_forward_of<TanhForm, float>(op, stream);
  else half ? gelu_forward_of<ErfForm, bf16>(op, stream) : gelu_forward_of<ErfForm, float>(op, stream);
}
void gelu_backward(const GeluBackward& op, const Stream& stream) {
  const bool half = op.x.dtype == DType::bf16;
  if (op.tanh_form) half ? gelu_backward_of<TanhForm, bf16>(op, stream) : gelu_backward_of<TanhForm, float>(op, stream);
  else half ? gelu_backward_of<ErfForm, bf16>(op, stream) : gelu_backward_of<ErfForm, float>(op, stream);
}
void swiglu_forward(const SwigluForward& op, const Stream& stream) {
  op.y.dtype == DType::bf16 ? swiglu_forward_of<bf16>(op, stream) : swiglu_forward_of<float>(op, stream);
}
void swiglu_backward(const SwigluBackward& op, const Stream& stream) {
  op.dy.dtype == DType::bf16 ? swiglu_backward_of<bf16>(op, stream) : swiglu_backward_of<float>(op, stream);
}
void bias_backward(const BiasBackward& op, const Stream& stream) {
  op.dy.dtype == DType::bf16 ? bias_backward_of<bf16>(op, stream) : bias_backward_of<float>(op, stream);
}
void add(const Add& op, const Stream& stream) {
  op.a.dtype == DType::bf16 ? add_of<bf16>(op, stream) : add_of<float>(op, stream);
}
void cast(const Cast& op, const Stream& stream) {
  if (op.in.dtype == DType::fp32) cast_from<float>(op, stream);
  else if (op.in.dtype == DType::bf16) cast_from<bf16>(op, stream);
  else cast_from<fp16>(op, stream);
}
void scale(const Scale& op, const Stream& stream) {
  float* x = op.x.as<float>();
  const float factor = op.factor;
  for_elements(stream, op.x.count(), [=](int64_t i, auto n) TW_STEP {
    put(x + i, n, get(static_cast<const float*>(x) + i, n) * factor);
  });
}

TW_SIMD_END
TW_SIMD_EXPORT_BF16(gelu_forward, GeluForward)
TW_SIMD_EXPORT_BF16(gelu_backward, GeluBackward)
TW_SIMD_EXPORT_BF16(swiglu_forward, SwigluForward)
TW_SIMD_EXPORT_BF16(swiglu_backward, SwigluBackward)
TW_SIMD_EXPORT(bias_backward, BiasBackward)
TW_SIMD_EXPORT_BF16(add, Add)
TW_SIMD_EXPORT(cast, Cast)
TW_SIMD_EXPORT(scale, Scale)
