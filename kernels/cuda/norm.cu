// A row is a block: thread t takes the packs t, t + threads, ... of eight columns, in registers where the row has at
// most 8192, else read again for each of the passes. Forward reads x and residual once and writes sum and y once;
// backward reads dy, s and dsum once, writes dx once, and keeps its columns' sums for dgamma and dbeta in registers over
// all its rows. Floor: those bytes over the memory's bandwidth.
#include "kernels/norm.h"

#include "kernels/cuda/block.h"
#include "kernels/cuda/column_sum.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

constexpr int kMostThreads = 512;  // 128 registers each

int threads_for(int64_t C) {
  const int64_t packs = blocks_for(C, kPack);
  return int(std::clamp<int64_t>(blocks_for(packs, kWarp) * kWarp, kWarp, kMostThreads));
}

// body.template operator()<P>() with P packs a thread, 0 = more than fit in registers.
template <class Body>
void with_packs(int64_t C, Body&& body) {
  const int64_t packs = blocks_for(blocks_for(C, kPack), threads_for(C));
  if (packs <= 1) body.template operator()<1>();
  else if (packs <= 2) body.template operator()<2>();
  else body.template operator()<0>();
}

template <class T, class G, int P>
__global__ void __launch_bounds__(kMostThreads) forward_kernel(const T* x, const T* residual, T* sum, const G* gamma, const G* beta, T* y, float* mean, float* rstd,
                               int64_t C, float eps, bool whole) {
  float* scratch = shared_memory<float>();
  const int64_t n = blockIdx.x, row = n * C;
  const int packs = P > 0 ? P : int((C + int64_t(blockDim.x) * kPack - 1) / (int64_t(blockDim.x) * kPack));
  Pack<kPack> kept[P > 0 ? P : 1];
  // s of pack p: as it is stored, so that backward sees the same.
  const auto load = [&](int p, bool first) {
    Pack<kPack>& s = kept[P > 0 ? p : 0];
    if (P > 0 && !first) return;
    const int64_t c = (int64_t(p) * blockDim.x + threadIdx.x) * kPack;
    if (!residual || !first) {
      load_some(s, (residual ? sum : x) + row + c, C - c, whole);
      return;
    }
    Pack<kPack> r;
    load_some(s, x + row + c, C - c, whole);
    load_some(r, residual + row + c, C - c, whole);
#pragma unroll
    for (int j = 0; j < kPack; ++j) s.v[j] = rounded_to<T>(s.v[j] + r.v[j]);
    store_some(sum + row + c, s, C - c, whole);
  };
  float total = 0, about = 0;
#pragma unroll
  for (int p = 0; p < packs; ++p) {
    load(p, true);
    const Pack<kPack>& s = kept[P > 0 ? p : 0];
#pragma unroll
    for (int j = 0; j < kPack; ++j) total += s.v[j];  // what lies behind the row is 0
  }
  if (beta) about = block_sum(total, scratch) / float(C);
  float squares = 0;
#pragma unroll
  for (int p = 0; p < packs; ++p) {
    load(p, false);
    const Pack<kPack>& s = kept[P > 0 ? p : 0];
    const int64_t c = (int64_t(p) * blockDim.x + threadIdx.x) * kPack;
#pragma unroll
    for (int j = 0; j < kPack; ++j)
      if (c + j < C) squares += (s.v[j] - about) * (s.v[j] - about);
  }
  const float scale = 1.f / sqrtf(block_sum(squares, scratch) / float(C) + eps);
#pragma unroll
  for (int p = 0; p < packs; ++p) {
    load(p, false);
    Pack<kPack>& s = kept[P > 0 ? p : 0];
    const int64_t c = (int64_t(p) * blockDim.x + threadIdx.x) * kPack;
    if (c >= C) continue;
    Pack<kPack> g, b{};
    load_some(g, gamma + c, C - c, whole);
    if (beta) load_some(b, beta + c, C - c, whole);
#pragma unroll
    for (int j = 0; j < kPack; ++j) s.v[j] = g.v[j] * ((s.v[j] - about) * scale) + b.v[j];
    store_some(y + row + c, s, C - c, whole);
  }
  if (threadIdx.x == 0) {
    if (mean) mean[n] = about;
    rstd[n] = scale;
  }
}

// With h = (s - mean) rstd and g = dy gamma: dx = rstd (g - sum(g)/C - h sum(g h)/C), without the second term for RMS norm.
// Block b takes rows b, b + blocks, ...; partials[b] = its sums of dy h, then of dy.
template <class T, class G, int P>
__global__ void __launch_bounds__(kMostThreads) backward_kernel(const T* dy, const T* s, const G* gamma, const float* mean, const float* rstd, const T* dsum, T* dx,
                                float* partials, int64_t N, int64_t C, bool whole) {
  float* scratch = shared_memory<float>();
  constexpr int kHeld = P > 0 ? P : 1;
  const int packs = P > 0 ? P : int((C + int64_t(blockDim.x) * kPack - 1) / (int64_t(blockDim.x) * kPack));
  Pack<kPack> gain[kHeld] = {}, dgamma[kHeld] = {}, dbeta[kHeld] = {};
  const auto column = [&](int p) { return (int64_t(p) * blockDim.x + threadIdx.x) * kPack; };
  float* const mine = partials + int64_t(blockIdx.x) * 2 * C;
  if (P > 0) {
#pragma unroll
    for (int p = 0; p < kHeld; ++p)
      if (column(p) < C) load_some(gain[p], gamma + column(p), C - column(p), whole);
  } else {
    for (int64_t c = threadIdx.x; c < 2 * C; c += blockDim.x) mine[c] = 0;
    __syncthreads();
  }
  for (int64_t n = blockIdx.x; n < N; n += gridDim.x) {
    const float about = mean ? mean[n] : 0.f, scale = rstd[n];
    Pack<kPack> d[kHeld], h[kHeld];
    const auto load = [&](int p) {
      const int i = P > 0 ? p : 0;
      const int64_t c = column(p);
      load_some(d[i], dy + n * C + c, C - c, whole);
      load_some(h[i], s + n * C + c, C - c, whole);
      if (P == 0) load_some(gain[0], gamma + c, C - c, whole);
#pragma unroll
      for (int j = 0; j < kPack; ++j) h[i].v[j] = c + j < C ? (h[i].v[j] - about) * scale : 0.f;
    };
    float sum_g = 0, sum_gh = 0;
#pragma unroll
    for (int p = 0; p < packs; ++p) {
      load(p);
      const int i = P > 0 ? p : 0;
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        const float g = d[i].v[j] * gain[i].v[j];
        sum_g += g, sum_gh += g * h[i].v[j];
      }
    }
    sum_gh = block_sum(sum_gh, scratch) / float(C);
    sum_g = mean ? block_sum(sum_g, scratch) / float(C) : 0.f;
#pragma unroll
    for (int p = 0; p < packs; ++p) {
      const int64_t c = column(p);
      if (c >= C) continue;
      if (P == 0) load(p);
      const int i = P > 0 ? p : 0;
      Pack<kPack> r{};
      if (dsum) load_some(r, dsum + n * C + c, C - c, whole);
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        const float dyj = d[i].v[j], hj = h[i].v[j];
        r.v[j] += scale * (dyj * gain[i].v[j] - sum_g - hj * sum_gh);
        if (P > 0) {
          dgamma[i].v[j] += dyj * hj, dbeta[i].v[j] += dyj;
        } else if (c + j < C) {
          mine[c + j] += dyj * hj, mine[C + c + j] += dyj;
        }
      }
      store_some(dx + n * C + c, r, C - c, whole);
    }
  }
  if constexpr (P > 0) {
#pragma unroll
    for (int p = 0; p < kHeld; ++p)
#pragma unroll
      for (int j = 0; j < kPack; ++j)
        if (column(p) + j < C) mine[column(p) + j] = dgamma[p].v[j], mine[C + column(p) + j] = dbeta[p].v[j];
  }
}

bool all_whole(int64_t C, size_t element, std::initializer_list<const void*> pointers) {
  return C * int64_t(element) % 16 == 0 && C % kPack == 0 && all_aligned(pointers);
}

}  // namespace

void norm_forward(const NormForward& op, const Stream& stream) {
  const int64_t N = op.x.dim(0), C = op.x.dim(1);
  const int threads = threads_for(C);
  const bool whole = all_whole(C, size_of(op.x.dtype), {op.x.data, op.residual.data, op.sum.data, op.gamma.data, op.beta.data, op.y.data});
  with_activation(op.x.dtype, [&](auto t) {
    with_activation(op.gamma.dtype, [&](auto g) {
      with_packs(C, [&]<int P>() {
        using T = decltype(t);
        using G = decltype(g);
        launch(forward_kernel<T, G, P>, {.blocks = N, .threads = threads, .shared = kWarp * sizeof(float)}, stream, op.x.as<T>(),
               op.residual ? op.residual.as<T>() : nullptr, op.sum ? op.sum.as<T>() : nullptr, op.gamma.as<G>(),
               op.beta ? op.beta.as<G>() : nullptr, op.y.as<T>(), op.mean ? op.mean.as<float>() : nullptr, op.rstd.as<float>(), C,
               op.eps, whole);
      });
    });
  });
}

void norm_backward(const NormBackward& op, const Stream& stream) {
  const int64_t N = op.dy.dim(0), C = op.dy.dim(1);
  if (N == 0 || C == 0) return;
  const int threads = threads_for(C);
  // Enough threads in flight to hide the memory's latency, few enough partial sums; from the shape alone.
  const int64_t fit = int64_t(Context::kScratch / sizeof(float)) / (2 * C);
  const int64_t blocks = std::min({N, std::clamp<int64_t>(65536 / threads, 64, 512), std::max<int64_t>(1, fit)});
  float* partials = context_of(stream).scratch<float>(size_t(blocks * 2 * C));
  const bool whole = all_whole(C, size_of(op.dy.dtype), {op.dy.data, op.s.data, op.gamma.data, op.dsum.data, op.dx.data});
  with_activation(op.dy.dtype, [&](auto t) {
    with_activation(op.gamma.dtype, [&](auto g) {
      with_packs(C, [&]<int P>() {
        using T = decltype(t);
        using G = decltype(g);
        launch(backward_kernel<T, G, P>, {.blocks = blocks, .threads = threads, .shared = kWarp * sizeof(float)}, stream,
               op.dy.as<T>(), op.s.as<T>(), op.gamma.as<G>(), op.mean ? op.mean.as<float>() : nullptr, op.rstd.as<float>(),
               op.dsum ? op.dsum.as<T>() : nullptr, op.dx.as<T>(), partials, N, C, whole);
      });
    });
  });
  if (op.dgamma) add_partials(partials, blocks, 2 * C, op.dgamma, stream);
  if (op.dbeta) add_partials(partials + C, blocks, 2 * C, op.dbeta, stream);
}

}  // namespace tw::cuda
