#include "kernels/norm.h"

#include <cmath>
#include <cstring>

#include "kernels/cpu/vector_loop.h"

TW_SIMD_BEGIN
namespace {

constexpr int64_t kRows = 16;          // rows of one item of work
constexpr int64_t kBackwardRows = 64;  // rows whose parameter gradients are added before the others'

template <class T, class G, bool kLayerNorm>
void forward(const NormForward& op, const Stream& stream) {
  const int64_t N = op.x.dim(0), C = op.x.dim(1);
  const T *x = op.x.as<T>(), *residual = op.residual ? op.residual.as<T>() : nullptr;
  T *sum_out = op.sum ? op.sum.as<T>() : nullptr, *y = op.y.as<T>();
  const G *gamma = op.gamma.as<G>(), *beta = kLayerNorm ? op.beta.as<G>() : nullptr;
  float *mean = kLayerNorm ? op.mean.as<float>() : nullptr, *rstd = op.rstd.as<float>();
  const float eps = op.eps;
  ThreadTeam& team = stream.team();
  parallel_blocks(stream, N, kRows, [=, &team](int64_t begin, int64_t end, int thread) {
    float* wide = sizeof(T) == sizeof(float) ? nullptr : static_cast<float*>(team.scratch(thread, size_t(C) * sizeof(float)));
    for (int64_t r = begin; r < end; ++r) {
      const T *row = x + r * C, *other = residual + (residual ? r * C : 0);
      T *row_sum = sum_out + (sum_out ? r * C : 0), *row_y = y + r * C;
      Slots totals, squares, offsets;
      const auto take = [&](int64_t c, auto n, int slot, Vf v) TW_STEP {
        if constexpr (sizeof(T) != sizeof(float)) put(wide + c, n, v);
        if (kLayerNorm) totals.v[slot] += v;
        else squares.v[slot] += v * v;
      };
      if (residual) {
        for_vectors_in_slots(C, [&](int64_t c, auto n, int slot) TW_STEP {
          Vf v = get(row + c, n) + get(other + c, n);
          put(row_sum + c, n, v);
          // Backward reads the rounded sum: normalise that.
          if (sizeof(T) != sizeof(float)) v = get(static_cast<const T*>(row_sum) + c, n);
          take(c, n, slot, v);
        });
      } else {
        for_vectors_in_slots(C, [&](int64_t c, auto n, int slot) TW_STEP { take(c, n, slot, get(row + c, n)); });
      }
      const float* s = wide;  // the row in fp32
      if constexpr (sizeof(T) == sizeof(float)) s = residual ? row_sum : row;
      float m = 0, variance;
      if (kLayerNorm) {
        // The second pass also adds the deviations themselves: they tell by how much rounding put
        // the mean off. Chan, Golub & LeVeque 1983, The American Statistician 37, equation 1.7.
        m = totals.total() / float(C);
        const Vf about = fill(m);
        for_vectors_in_slots(C, [&](int64_t c, auto n, int slot) TW_STEP {
          const Vf d = get(s + c, n, m) - about;
          offsets.v[slot] += d;
          squares.v[slot] += d * d;
        });
        const float offset = offsets.total() / float(C);
        m += offset;
        variance = squares.total() / float(C) - offset * offset;
        variance = variance < 0 ? 0 : variance;
      } else {
        variance = squares.total() / float(C);
      }
      const float inverse = 1.0f / std::sqrt(variance + eps);
      const Vf about = fill(m), factor = fill(inverse);
      for_vectors(C, [&](int64_t c, auto n) TW_STEP {
        Vf v = (get(s + c, n) - about) * factor * get(gamma + c, n);
        if (kLayerNorm) v = v + get(beta + c, n);
        put(row_y + c, n, v);
      });
      if (kLayerNorm) mean[r] = m;
      rstd[r] = inverse;
    }
  });
}

template <class T, class G, bool kLayerNorm>
void backward(const NormBackward& op, const Stream& stream) {
  const int64_t N = op.dy.dim(0), C = op.dy.dim(1);
  const T *dy = op.dy.as<T>(), *s = op.s.as<T>(), *dsum = op.dsum ? op.dsum.as<T>() : nullptr;
  const G* gamma = op.gamma.as<G>();
  const float *mean = kLayerNorm ? op.mean.as<float>() : nullptr, *rstd = op.rstd.as<float>();
  T* dx = op.dx.as<T>();
  const int64_t blocks = (N + kBackwardRows - 1) / kBackwardRows, stride = (kLayerNorm ? 2 : 1) * C;
  float* partial = static_cast<float*>(stream.team().workspace(size_t(blocks * stride) * sizeof(float)));
  parallel_blocks(stream, N, kBackwardRows, [=](int64_t begin, int64_t end, int) {
    float *dgamma = partial + begin / kBackwardRows * stride, *dbeta = dgamma + C;
    std::memset(dgamma, 0, size_t(stride) * sizeof(float));
    for (int64_t r = begin; r < end; ++r) {
      const T *row_dy = dy + r * C, *row_s = s + r * C, *row_dsum = dsum + (dsum ? r * C : 0);
      T* row_dx = dx + r * C;
      const Vf factor = fill(rstd[r]), about = fill(kLayerNorm ? mean[r] : 0);
      Slots sum_g, sum_gx;
      for_vectors_in_slots(C, [&](int64_t c, auto n, int slot) TW_STEP {
        // Lanes beyond the row hold dy = 0 and add nothing.
        const Vf d = get(row_dy + c, n), xhat = (get(row_s + c, n) - about) * factor;
        const Vf g = d * get(gamma + c, n);
        sum_gx.v[slot] += g * xhat;
        put(dgamma + c, n, get(static_cast<const float*>(dgamma) + c, n) + d * xhat);
        if (!kLayerNorm) return;
        sum_g.v[slot] += g;
        put(dbeta + c, n, get(static_cast<const float*>(dbeta) + c, n) + d);
      });
      const Vf mean_g = fill(kLayerNorm ? sum_g.total() / float(C) : 0), mean_gx = fill(sum_gx.total() / float(C));
      const auto gradient = [&](int64_t c, auto n) TW_STEP {
        const Vf xhat = (get(row_s + c, n) - about) * factor;
        return (get(row_dy + c, n) * get(gamma + c, n) - mean_g - xhat * mean_gx) * factor;
      };
      if (dsum) {
        for_vectors(C, [&](int64_t c, auto n) TW_STEP { put(row_dx + c, n, gradient(c, n) + get(row_dsum + c, n)); });
      } else {
        for_vectors(C, [&](int64_t c, auto n) TW_STEP { put(row_dx + c, n, gradient(c, n)); });
      }
    }
  });
  if (!op.dgamma) return;
  add_rows_in_order(stream, partial, blocks, stride, C, op.dgamma.as<float>());
  if (kLayerNorm) add_rows_in_order(stream, partial + C, blocks, stride, C, op.dbeta.as<float>());
}

template <class T, class G>
void forward_of(const NormForward& op, const Stream& stream) {
  op.beta ? forward<T, G, true>(op, stream) : forward<T, G, false>(op, stream);
}
template <class T, class G>
void backward_of(const NormBackward& op, const Stream& stream) {
  op.mean ? backward<T, G, true>(op, stream) : backward<T, G, false>(op, stream);
}

}  // namespace

void norm_forward(const NormForward& op, const Stream& stream) {
  if (op.x.dtype == DType::fp32) return forward_of<float, float>(op, stream);
  op.gamma.dtype == DType::fp32 ? forward_of<bf16, float>(op, stream) : forward_of<bf16, bf16>(op, stream);
}
void norm_backward(const NormBackward& op, const Stream& stream) {
  if (op.dy.dtype == DType::fp32) return backward_of<float, float>(op, stream);
  op.gamma.dtype == DType::fp32 ? backward_of<bf16, float>(op, stream) : backward_of<bf16, bf16>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT_BF16(norm_forward, NormForward)
TW_SIMD_EXPORT_BF16(norm_backward, NormBackward)
