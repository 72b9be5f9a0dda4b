#include "kernels/norm.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/vector.h"
#include "src/core/tensor.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

constexpr int64_t kRows = 16;          // rows of one item of work
constexpr int64_t kBackwardRows = 64;  // rows whose parameter gradients are added before the others'

// visit(c, n): n = kLanes, or less at the end of the row.
template <class Visit>
TW_INLINE void columns(int64_t C, Visit visit) {
  int64_t c = 0;
  for (; c + kLanes <= C; c += kLanes) visit(c, int64_t(kLanes));
  if (c < C) visit(c, C - c);
}
template <class T>
TW_INLINE Vf get(const T* p, int64_t n) { return n == kLanes ? load(p) : load_some(p, n); }
template <class T>
TW_INLINE void put(T* p, int64_t n, Vf v) { n == kLanes ? store(p, v) : store_some(p, n, v); }

template <class T, class G>
void forward(const NormForward& op, const Stream& stream) {
  const int64_t N = op.x.dim(0), C = op.x.dim(1);
  const T *x = op.x.as<T>(), *residual = op.residual ? op.residual.as<T>() : nullptr;
  T *sum_out = op.sum ? op.sum.as<T>() : nullptr, *y = op.y.as<T>();
  const G *gamma = op.gamma.as<G>(), *beta = op.beta ? op.beta.as<G>() : nullptr;
  float *mean = op.mean ? op.mean.as<float>() : nullptr, *rstd = op.rstd.as<float>();
  parallel_blocks(stream, N, kRows, [&](int64_t begin, int64_t end, int thread) {
    float* s = static_cast<float*>(stream.team().scratch(thread, size_t(C) * sizeof(float)));
    for (int64_t n = begin; n < end; ++n) {
      Vf total = fill(0), squares = fill(0);
      columns(C, [&](int64_t c, int64_t k) {
        Vf v = get(x + n * C + c, k);
        if (residual) {
          v = v + get(residual + n * C + c, k);
          put(sum_out + n * C + c, k, v);
          // What backward reads is the rounded sum: normalise that.
          if (sizeof(T) != 4) v = get(static_cast<const T*>(sum_out) + n * C + c, k);
        }
        put(s + c, k, v);
        total = total + v;
      });
      float m = 0;
      if (beta) m = sum(total) / float(C);
      const Vf vm = fill(m);
      columns(C, [&](int64_t c, int64_t k) {  // second pass on purpose: E[s^2] - mean^2 cancels
        const Vf d = k == kLanes ? load(s + c) - vm : load_some(s + c, k, m) - vm;
        squares = squares + d * d;
      });
      const float r = 1.0f / std::sqrt(sum(squares) / float(C) + op.eps);
      columns(C, [&](int64_t c, int64_t k) {
        Vf v = (get(s + c, k) - vm) * r * get(gamma + c, k);
        if (beta) v = v + get(beta + c, k);
        put(y + n * C + c, k, v);
      });
      if (mean) mean[n] = m;
      rstd[n] = r;
    }
  });
}

template <class T, class G>
void backward(const NormBackward& op, const Stream& stream) {
  const int64_t N = op.dy.dim(0), C = op.dy.dim(1);
  const T *dy = op.dy.as<T>(), *s = op.s.as<T>(), *dsum = op.dsum ? op.dsum.as<T>() : nullptr;
  const G* gamma = op.gamma.as<G>();
  const float *mean = op.mean ? op.mean.as<float>() : nullptr, *rstd = op.rstd.as<float>();
  T* dx = op.dx.as<T>();
  const int64_t blocks = (N + kBackwardRows - 1) / kBackwardRows;
  float* partial = static_cast<float*>(stream.team().workspace(size_t(blocks * 2 * C) * sizeof(float)));
  parallel_blocks(stream, N, kBackwardRows, [&](int64_t begin, int64_t end, int) {
    float* dgamma = partial + begin / kBackwardRows * 2 * C;
    float* dbeta = dgamma + C;
    std::memset(dgamma, 0, size_t(2 * C) * sizeof(float));
    for (int64_t n = begin; n < end; ++n) {
      const float r = rstd[n], m = mean ? mean[n] : 0;
      Vf sum_g = fill(0), sum_gx = fill(0);
      columns(C, [&](int64_t c, int64_t k) {
        const Vf d = get(dy + n * C + c, k), xhat = (get(s + n * C + c, k) - m) * r;
        const Vf g = d * get(gamma + c, k);  // lanes beyond the row hold dy = 0
        sum_g = sum_g + g;
        sum_gx = sum_gx + g * xhat;
        put(dgamma + c, k, get(static_cast<const float*>(dgamma) + c, k) + d * xhat);
        if (mean) put(dbeta + c, k, get(static_cast<const float*>(dbeta) + c, k) + d);
      });
      const float mean_g = mean ? sum(sum_g) / float(C) : 0, mean_gx = sum(sum_gx) / float(C);
      columns(C, [&](int64_t c, int64_t k) {
        const Vf xhat = (get(s + n * C + c, k) - m) * r;
        Vf v = (get(dy + n * C + c, k) * get(gamma + c, k) - mean_g - xhat * mean_gx) * r;
        if (dsum) v = v + get(dsum + n * C + c, k);
        put(dx + n * C + c, k, v);
      });
    }
  });
  float *dgamma = op.dgamma.as<float>(), *dbeta = op.dbeta ? op.dbeta.as<float>() : nullptr;
  for (int64_t b = 0; b < blocks; ++b) {
    const float* from = partial + b * 2 * C;
    for (int64_t c = 0; c < C; ++c) dgamma[c] += from[c];
    if (dbeta)
      for (int64_t c = 0; c < C; ++c) dbeta[c] += from[C + c];
  }
}

}  // namespace

void norm_forward(const NormForward& op, const Stream& stream) {
  if (op.x.dtype == DType::fp32) return forward<float, float>(op, stream);
  op.gamma.dtype == DType::fp32 ? forward<bf16, float>(op, stream) : forward<bf16, bf16>(op, stream);
}
void norm_backward(const NormBackward& op, const Stream& stream) {
  if (op.dy.dtype == DType::fp32) return backward<float, float>(op, stream);
  op.gamma.dtype == DType::fp32 ? backward<bf16, float>(op, stream) : backward<bf16, bf16>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT(norm_forward, NormForward)
TW_SIMD_EXPORT(norm_backward, NormBackward)
