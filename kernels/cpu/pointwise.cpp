#include "kernels/pointwise.h"

#include <cmath>
#include <cstring>

#include "kernels/cpu/vector.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements of one item of work

// body(i, n): n = kLanes, or 1 for the elements at the end.
template <class Body>
TW_INLINE void elements(const Stream& stream, int64_t count, Body body) {
  parallel_blocks(stream, count, kGrain, [&](int64_t begin, int64_t end, int) {
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) body(i, int64_t(kLanes));
    for (; i < end; ++i) body(i, int64_t(1));
  });
}
template <class T>
TW_INLINE Vf get(const T* p, int64_t n) { return n == kLanes ? load(p) : fill(float(*p)); }
template <class T>
TW_INLINE void put(T* p, int64_t n, Vf v) {
  if (n == kLanes) store(p, v);
  else *p = T(v[0]);
}

TW_INLINE Vf sigmoid(Vf x) { return 1.0f / (1.0f + exp(-x)); }

// 0.5 (1 + tanh(u)) = sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3).
constexpr float kTwoRoot = 1.5957691216057308f;  // 2 sqrt(2/pi)
TW_INLINE Vf gelu_tanh(Vf x) { return x * sigmoid(kTwoRoot * (x + 0.044715f * x * x * x)); }
TW_INLINE Vf gelu_tanh_slope(Vf x) {
  const Vf s = sigmoid(kTwoRoot * (x + 0.044715f * x * x * x));
  return s + x * s * (1.0f - s) * (kTwoRoot * (1.0f + 3 * 0.044715f * x * x));
}
TW_INLINE Vf gelu_erf(Vf x) {
  Vf y{};
  for (int i = 0; i < kLanes; ++i) y[i] = 0.5f * x[i] * (1.0f + std::erf(x[i] * 0.70710678118654752f));
  return y;
}
TW_INLINE Vf gelu_erf_slope(Vf x) {
  Vf y{};
  for (int i = 0; i < kLanes; ++i) y[i] = 0.5f * (1.0f + std::erf(x[i] * 0.70710678118654752f));
  return y + x * exp(-0.5f * x * x) * 0.3989422804014327f;
}

template <class T>
void gelu_forward_of(const GeluForward& op, const Stream& stream) {
  const T* x = op.x.as<T>();
  T* y = op.y.as<T>();
  if (op.tanh_form) elements(stream, op.x.count(), [=](int64_t i, int64_t n) { put(y + i, n, gelu_tanh(get(x + i, n))); });
  else elements(stream, op.x.count(), [=](int64_t i, int64_t n) { put(y + i, n, gelu_erf(get(x + i, n))); });
}

template <class T>
void gelu_backward_of(const GeluBackward& op, const Stream& stream) {
  const T *x = op.x.as<T>(), *dy = op.dy.as<T>();
  T* dx = op.dx.as<T>();
  if (op.tanh_form)
    elements(stream, op.x.count(), [=](int64_t i, int64_t n) { put(dx + i, n, get(dy + i, n) * gelu_tanh_slope(get(x + i, n))); });
  else
    elements(stream, op.x.count(), [=](int64_t i, int64_t n) { put(dx + i, n, get(dy + i, n) * gelu_erf_slope(get(x + i, n))); });
}

template <class T>
void swiglu_forward_of(const SwigluForward& op, const Stream& stream) {
  const int64_t F = op.y.dim(1);
  const T* in = op.gate_up.as<T>();
  T* y = op.y.as<T>();
  parallel_blocks(stream, op.y.dim(0), 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const T *gate = in + n * 2 * F, *up = gate + F;
      const auto one = [&](int64_t f, int64_t k) {
        const Vf g = get(gate + f, k);
        put(y + n * F + f, k, g * sigmoid(g) * get(up + f, k));
      };
      int64_t f = 0;
      for (; f + kLanes <= F; f += kLanes) one(f, kLanes);
      for (; f < F; ++f) one(f, 1);
    }
  });
}

template <class T>
void swiglu_backward_of(const SwigluBackward& op, const Stream& stream) {
  const int64_t F = op.dy.dim(1);
  const T *in = op.gate_up.as<T>(), *dy = op.dy.as<T>();
  T* out = op.dgate_up.as<T>();
  parallel_blocks(stream, op.dy.dim(0), 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const T* gate = in + n * 2 * F;
      T* dgate = out + n * 2 * F;
      const auto one = [&](int64_t f, int64_t k) {
        const Vf g = get(gate + f, k), up = get(gate + F + f, k), d = get(dy + n * F + f, k), s = sigmoid(g);
        put(dgate + f, k, d * up * s * (1.0f + g * (1.0f - s)));
        put(dgate + F + f, k, d * g * s);
      };
      int64_t f = 0;
      for (; f + kLanes <= F; f += kLanes) one(f, kLanes);
      for (; f < F; ++f) one(f, 1);
    }
  });
}

// Rows are added in blocks of 64, the blocks' sums in order.
template <class T>
void bias_backward_of(const BiasBackward& op, const Stream& stream) {
  constexpr int64_t kRows = 64;
  const int64_t N = op.dy.dim(0), C = op.dy.dim(1), blocks = (N + kRows - 1) / kRows;
  const T* dy = op.dy.as<T>();
  float* dbias = op.dbias.as<float>();
  float* partial = static_cast<float*>(stream.team().workspace(size_t(blocks * C) * sizeof(float)));
  parallel_blocks(stream, N, kRows, [&](int64_t begin, int64_t end, int) {
    float* to = partial + begin / kRows * C;
    std::memset(to, 0, size_t(C) * sizeof(float));
    for (int64_t n = begin; n < end; ++n) {
      int64_t c = 0;
      for (; c + kLanes <= C; c += kLanes) store(to + c, load(to + c) + load(dy + n * C + c));
      for (; c < C; ++c) to[c] += float(dy[n * C + c]);
    }
  });
  for (int64_t b = 0; b < blocks; ++b)
    for (int64_t c = 0; c < C; ++c) dbias[c] += partial[b * C + c];
}

template <class T>
void add_of(const Add& op, const Stream& stream) {
  const T *a = op.a.as<T>(), *b = op.b.as<T>();
  T* out = op.out.as<T>();
  elements(stream, op.a.count(), [=](int64_t i, int64_t n) { put(out + i, n, get(a + i, n) + get(b + i, n)); });
}

template <class In, class Out>
void cast_of(const Cast& op, const Stream& stream) {
  const In* in = op.in.as<In>();
  Out* out = op.out.as<Out>();
  if constexpr (std::is_same_v<In, Out>) {
    if (in == out) return;
    parallel_blocks(stream, op.in.count(), kGrain, [&](int64_t begin, int64_t end, int) {
      std::memcpy(static_cast<void*>(out + begin), in + begin, size_t(end - begin) * sizeof(In));
    });
  } else if constexpr (std::is_same_v<In, fp16> || std::is_same_v<Out, fp16>) {
    parallel_blocks(stream, op.in.count(), kGrain, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) out[i] = Out(float(in[i]));
    });
  } else {
    elements(stream, op.in.count(), [=](int64_t i, int64_t n) { put(out + i, n, get(in + i, n)); });
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
  op.x.dtype == DType::bf16 ? gelu_forward_of<bf16>(op, stream) : gelu_forward_of<float>(op, stream);
}
void gelu_backward(const GeluBackward& op, const Stream& stream) {
  op.x.dtype == DType::bf16 ? gelu_backward_of<bf16>(op, stream) : gelu_backward_of<float>(op, stream);
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
  elements(stream, op.x.count(), [=](int64_t i, int64_t n) { put(x + i, n, get(static_cast<const float*>(x) + i, n) * factor); });
}

TW_SIMD_END
TW_SIMD_EXPORT(gelu_forward, GeluForward)
TW_SIMD_EXPORT(gelu_backward, GeluBackward)
TW_SIMD_EXPORT(swiglu_forward, SwigluForward)
TW_SIMD_EXPORT(swiglu_backward, SwigluBackward)
TW_SIMD_EXPORT(bias_backward, BiasBackward)
TW_SIMD_EXPORT(add, Add)
TW_SIMD_EXPORT(cast, Cast)
TW_SIMD_EXPORT(scale, Scale)
