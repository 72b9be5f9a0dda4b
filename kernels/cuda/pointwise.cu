// One thread takes eight elements: 16-byte reads and writes of bf16, two of them of fp32. No element is read twice; the
// floor of each op is the bytes of its operands over the memory's bandwidth.
#include "kernels/pointwise.h"

#include "kernels/cuda/column_sum.h"
#include "kernels/cuda/gelu.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = 256;

__device__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

template <class T>
__global__ void gelu_kernel(const T* x, const T* dy, T* out, int64_t n, bool tanh_form, bool whole) {
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kPack;
  if (i >= n) return;
  Pack<kPack> a, b;
  load_some(a, x + i, n - i, whole);
  if (dy) load_some(b, dy + i, n - i, whole);
#pragma unroll
  for (int j = 0; j < kPack; ++j) a.v[j] = dy ? b.v[j] * gelu_slope(a.v[j], tanh_form) : gelu(a.v[j], tanh_form);
  store_some(out + i, a, n - i, whole);
}

void run_gelu(ConstView x, ConstView dy, View out, bool tanh_form, const Stream& stream) {
  const int64_t n = x.count();
  const bool whole = all_aligned({x.data, dy.data, out.data});
  with_activation(x.dtype, [&](auto t) {
    using T = decltype(t);
    launch(gelu_kernel<T>, {.blocks = blocks_for(n, kThreads * kPack), .threads = kThreads}, stream, x.as<T>(),
           dy ? dy.as<T>() : nullptr, out.as<T>(), n, tanh_form, whole);
  });
}

// Grid: rows in y, packs of a row's F columns in x. dy null = forward.
template <class T>
__global__ void swiglu_kernel(const T* gate_up, const T* dy, T* out, int64_t rows, int64_t F, bool whole) {
  const int64_t c = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kPack;
  if (c >= F) return;
  for (int64_t n = blockIdx.y; n < rows; n += gridDim.y) {
    Pack<kPack> gate, up, d;
    load_some(gate, gate_up + n * 2 * F + c, F - c, whole);
    load_some(up, gate_up + n * 2 * F + F + c, F - c, whole);
    if (!dy) {
#pragma unroll
      for (int j = 0; j < kPack; ++j) d.v[j] = gate.v[j] * sigmoid(gate.v[j]) * up.v[j];
      store_some(out + n * F + c, d, F - c, whole);
      continue;
    }
    load_some(d, dy + n * F + c, F - c, whole);
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      const float s = sigmoid(gate.v[j]), silu = gate.v[j] * s, u = up.v[j];
      up.v[j] = d.v[j] * silu;
      gate.v[j] = d.v[j] * u * (s + silu * (1.f - s));
    }
    store_some(out + n * 2 * F + c, gate, F - c, whole);
    store_some(out + n * 2 * F + F + c, up, F - c, whole);
  }
}

void run_swiglu(ConstView gate_up, ConstView dy, View out, const Stream& stream) {
  const int64_t rows = gate_up.dim(0), F = gate_up.dim(1) / 2;
  with_activation(gate_up.dtype, [&](auto t) {
    using T = decltype(t);
    const bool whole = all_aligned({gate_up.data, dy.data, out.data}) && F * int64_t(sizeof(T)) % 16 == 0;
    launch(swiglu_kernel<T>, {.blocks = blocks_for(F, kThreads * kPack), .threads = kThreads, .blocks_y = std::min<int64_t>(rows, 65535)},
           stream, gate_up.as<T>(), dy ? dy.as<T>() : nullptr, out.as<T>(), rows, F, whole);
  });
}

template <class T>
__global__ void add_kernel(const T* a, const T* b, T* out, int64_t n, bool whole) {
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kPack;
  if (i >= n) return;
  Pack<kPack> x, y;
  load_some(x, a + i, n - i, whole);
  load_some(y, b + i, n - i, whole);
#pragma unroll
  for (int j = 0; j < kPack; ++j) x.v[j] += y.v[j];
  store_some(out + i, x, n - i, whole);
}

template <class From, class To>
__global__ void cast_kernel(const From* in, To* out, int64_t n, bool whole) {
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kPack;
  if (i >= n) return;
  Pack<kPack> x;
  load_some(x, in + i, n - i, whole);
  store_some(out + i, x, n - i, whole);
}

__global__ void scale_kernel(float* x, float factor, int64_t n, bool whole) {
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kPack;
  if (i >= n) return;
  Pack<kPack> v;
  load_some(v, x + i, n - i, whole);
#pragma unroll
  for (int j = 0; j < kPack; ++j) v.v[j] *= factor;
  store_some(x + i, v, n - i, whole);
}

}  // namespace

void gelu_forward(const GeluForward& op, const Stream& stream) { run_gelu(op.x, {}, op.y, op.tanh_form, stream); }
void gelu_backward(const GeluBackward& op, const Stream& stream) { run_gelu(op.x, op.dy, op.dx, op.tanh_form, stream); }
void swiglu_forward(const SwigluForward& op, const Stream& stream) { run_swiglu(op.gate_up, {}, op.y, stream); }
void swiglu_backward(const SwigluBackward& op, const Stream& stream) { run_swiglu(op.gate_up, op.dy, op.dgate_up, stream); }

void bias_backward(const BiasBackward& op, const Stream& stream) { add_column_sums(op.dy, op.dbias, stream); }

void add(const Add& op, const Stream& stream) {
  const int64_t n = op.a.count();
  const bool whole = all_aligned({op.a.data, op.b.data, op.out.data});
  with_activation(op.a.dtype, [&](auto t) {
    using T = decltype(t);
    launch(add_kernel<T>, {.blocks = blocks_for(n, kThreads * kPack), .threads = kThreads}, stream, op.a.as<T>(), op.b.as<T>(),
           op.out.as<T>(), n, whole);
  });
}

void cast(const Cast& op, const Stream& stream) {
  const int64_t n = op.in.count();
  const bool whole = all_aligned({op.in.data, op.out.data});
  with_type(op.in.dtype, [&](auto from) {
    with_type(op.out.dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      launch(cast_kernel<From, To>, {.blocks = blocks_for(n, kThreads * kPack), .threads = kThreads}, stream, op.in.as<From>(),
             op.out.as<To>(), n, whole);
    });
  });
}

void scale(const Scale& op, const Stream& stream) {
  const int64_t n = op.x.count();
  launch(scale_kernel, {.blocks = blocks_for(n, kThreads * kPack), .threads = kThreads}, stream, op.x.as<float>(), op.factor, n,
         all_aligned({op.x.data}));
}

}  // namespace tw::cuda
