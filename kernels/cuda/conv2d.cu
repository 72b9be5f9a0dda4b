#include "kernels/conv2d.h"

#include "kernels/cuda/tile_product.h"
#include "kernels/cuda/vector.h"

namespace tw::cuda {
namespace {

struct Shapes {
  int64_t H, W, C, R, S, I, J, O;
  int64_t stride, padding;
};

__device__ inline float pixel(const float* x, const Shapes& s, int64_t b, int64_t h, int64_t w, int64_t c) {
  return h >= 0 && h < s.H && w >= 0 && w < s.W ? x[((b * s.H + h) * s.W + w) * s.C + c] : 0.f;
}

// Each convolution as a product: left(m, k), right(k, n) and where (m, n) is kept. k of the first two is a place of the
// kernel and a channel, of the third a pixel.
struct Forward {
  const float *x, *weight, *bias;
  float* y;
  Shapes s;
  __device__ float left(int64_t m, int64_t k) const {
    const int64_t c = k % s.C, tap = k / s.C, j = m % s.J, i = m / s.J % s.I;
    return pixel(x, s, m / (s.I * s.J), i * s.stride - s.padding + tap / s.S, j * s.stride - s.padding + tap % s.S, c);
  }
  __device__ float right(int64_t k, int64_t n) const { return weight[n * s.R * s.S * s.C + k]; }
  __device__ void keep(int64_t m, int64_t n, float sum) const { y[m * s.O + n] = sum + (bias ? bias[n] : 0.f); }
};

struct Transposed {
  const float *y, *weight, *bias;
  float* x;
  Shapes s;
  __device__ float left(int64_t m, int64_t k) const {
    const int64_t o = k % s.O, tap = k / s.O, w = m % s.W, h = m / s.W % s.H, b = m / (s.H * s.W);
    const int64_t i = h + s.padding - tap / s.S, j = w + s.padding - tap % s.S;
    if (i < 0 || j < 0 || i % s.stride != 0 || j % s.stride != 0 || i / s.stride >= s.I || j / s.stride >= s.J) return 0.f;
    return y[((b * s.I + i / s.stride) * s.J + j / s.stride) * s.O + o];
  }
  __device__ float right(int64_t k, int64_t n) const { return weight[(k % s.O * s.R * s.S + k / s.O) * s.C + n]; }
  __device__ void keep(int64_t m, int64_t n, float sum) const { x[m * s.C + n] = sum + (bias ? bias[n] : 0.f); }
};

struct WeightGradient {
  const float *x, *dy;
  float* dweight;
  Shapes s;
  __device__ float left(int64_t m, int64_t k) const { return dy[k * s.O + m]; }
  __device__ float right(int64_t k, int64_t n) const {
    const int64_t c = n % s.C, tap = n / s.C, j = k % s.J, i = k / s.J % s.I;
    return pixel(x, s, k / (s.I * s.J), i * s.stride - s.padding + tap / s.S, j * s.stride - s.padding + tap % s.S, c);
  }
  __device__ void keep(int64_t m, int64_t n, float sum) const { dweight[m * s.R * s.S * s.C + n] += sum; }
};

Shapes shapes_of(const ConstView& x, const ConstView& weight, const ConstView& y, int stride, int padding) {
  return {x.dim(1), x.dim(2), x.dim(3), weight.dim(1), weight.dim(2), y.dim(1), y.dim(2), y.dim(3), stride, padding};
}
const float* bias_of(const ConstView& bias) { return bias ? bias.as<float>() : nullptr; }

}  // namespace

void conv2d(const Conv2d& op, const Stream& stream) {
  const Shapes s = shapes_of(op.x, op.weight, op.y, op.stride, op.padding);
  tile_product(Forward{op.x.as<float>(), op.weight.as<float>(), bias_of(op.bias), op.y.as<float>(), s}, op.y.count() / s.O, s.O, s.R * s.S * s.C, stream);
}
void conv2d_transpose(const Conv2dTranspose& op, const Stream& stream) {
  const Shapes s = shapes_of(op.x, op.weight, op.y, op.stride, op.padding);
  tile_product(Transposed{op.y.as<float>(), op.weight.as<float>(), bias_of(op.bias), op.x.as<float>(), s}, op.x.count() / s.C, s.C, s.R * s.S * s.O, stream);
}
void conv2d_weight_gradient(const Conv2dWeightGradient& op, const Stream& stream) {
  const Shapes s = shapes_of(op.x, op.dweight, op.dy, op.stride, op.padding);
  tile_product(WeightGradient{op.x.as<float>(), op.dy.as<float>(), op.dweight.as<float>(), s}, s.O, s.R * s.S * s.C, op.dy.count() / s.O, stream);
}

}  // namespace tw::cuda
