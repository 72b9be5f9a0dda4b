#include "kernels/cuda/epilogue.h"

#include "kernels/cuda/gelu.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = 256;

// A thread: eight columns of a row. Grid: columns in x, rows in y. Reads and writes out once, and aux one way: floor, 2 or 3 M N elements
// over the memory's bandwidth.
template <class T, class B>
__global__ void finish_kernel(T* out, const B* bias, T* aux, int64_t rows, int64_t N, Epilogue epilogue, bool tanh_form, bool whole) {
  const int64_t c = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kPack;
  if (c >= N) return;
  Pack<kPack> b{};
  if (bias) load_some(b, bias + c, N - c, whole);
  for (int64_t n = blockIdx.y; n < rows; n += gridDim.y) {
    Pack<kPack> v, x;
    load_some(v, out + n * N + c, N - c, whole);
    if (epilogue == Epilogue::gelu_backward) load_some(x, aux + n * N + c, N - c, whole);
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      v.v[j] += b.v[j];
      if (epilogue == Epilogue::gelu_backward) v.v[j] *= gelu_slope(x.v[j], tanh_form);
    }
    if (epilogue == Epilogue::gelu) {
      store_some(aux + n * N + c, v, N - c, whole);
#pragma unroll
      for (int j = 0; j < kPack; ++j) v.v[j] = gelu(v.v[j], tanh_form);
    }
    store_some(out + n * N + c, v, N - c, whole);
  }
}

}  // namespace

void finish_product(const MatMul& op, const Stream& stream) {
  if (!op.bias && op.epilogue == Epilogue::none) return;
  const int64_t rows = op.out.dim(0), N = op.out.dim(1);
  const bool whole = N % kPack == 0 && all_aligned({op.out.data, op.bias.data, op.aux.data});
  with_activation(op.out.dtype, [&](auto t) {
    with_activation(op.bias ? op.bias.dtype : DType::fp32, [&](auto b) {
      using T = decltype(t);
      using B = decltype(b);
      launch(finish_kernel<T, B>, {.blocks = blocks_for(N, kThreads * kPack), .threads = kThreads, .blocks_y = std::min<int64_t>(rows, 65535)},
             stream, op.out.as<T>(), op.bias ? op.bias.as<B>() : nullptr, op.aux ? op.aux.as<T>() : nullptr, rows, N, op.epilogue,
             op.tanh_form, whole);
    });
  });
}

}  // namespace tw::cuda
