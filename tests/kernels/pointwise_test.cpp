#include "kernels/pointwise.h"

#include <limits>

#include "kernels/fill.h"
#include "tests/kernels/op_test.h"

namespace tw {
namespace {

using Pointwise = OpTest;
INSTANTIATE_TEST_SUITE_P(Ops, Pointwise, op_levels(), op_level_name);

// One, odd, around the vector widths, and more than one item of work.
const int64_t kCounts[] = {1, 3, 16, 37, 100, 40007};

double gelu(double x, bool tanh_form) {
  // 0.5 (1 + tanh u) = 1 / (1 + e^-2u), which does not cancel.
  return tanh_form ? x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)))
                   : 0.5 * x * std::erfc(-x / std::sqrt(2.0));
}
double silu(double x) { return x / (1 + std::exp(-x)); }

// From -12 to 12, and a few far out.
Tensor wide_range(int64_t n, DType dtype) {
  std::vector<double> v;
  for (int64_t i = 0; i < n; ++i) v.push_back(n == 1 ? 0.7 : -12 + 24 * double(i) / double(n - 1));
  if (n > 30) v[1] = 1e4, v[2] = -1e4, v[3] = 0, v[4] = 300, v[5] = -300;
  return from_values({n}, dtype, v);
}

TEST_P(Pointwise, GeluEqualsTheDefinition) {
  for (int64_t n : kCounts)
    for (bool tanh_form : {true, false}) {
      const Tensor x = wide_range(n, dtype());
      const auto got = on_threads({{{n}, dtype()}}, [&](const Stream& s, const std::vector<View>& out) {
        gelu_forward({.x = x.view(), .y = out[0], .tanh_form = tanh_form}, s);
      });
      std::vector<double> want = values(x);
      for (double& v : want) v = gelu(v, tanh_form);
      // The tanh form rounds the argument of its exponential, up to 80 where the result is near 0.
      expect_near(got[0], want, 1e-30, (tanh_form || kOnGpu ? 2e-5 : 4e-6) + rounding(), tanh_form ? "tanh" : "erf");
    }
}

TEST_P(Pointwise, GeluBackwardEqualsFiniteDifferences) {
  for (int64_t n : kCounts)
    for (bool tanh_form : {true, false}) {
      const Tensor x = wide_range(n, dtype()), dy = normal({n}, dtype(), 2);
      std::vector<double> at = values(x), want = values(dy);
      for (size_t i = 0; i < want.size(); ++i) {
        std::vector<double> one{at[i]};
        want[i] *= slope([&](const std::vector<double>& v) { return gelu(v[0], tanh_form); }, one, 0);
      }
      const auto run = [&](const Tensor* start) {
        return on_threads({{{n}, dtype(), start}}, [&](const Stream& s, const std::vector<View>& out) {
          gelu_backward({.x = x.view(), .dy = start ? ConstView(out[0]) : dy.view(), .dx = out[0], .tanh_form = tanh_form}, s);
        });
      };
      const auto got = run(nullptr);
      expect_near(got[0], want, 2e-6, 4e-6 + rounding(), tanh_form ? "tanh" : "erf");
      EXPECT_EQ(got, run(&dy)) << "in place";
    }
}

TEST_P(Pointwise, NaNIsNotHidden) {
  std::vector<double> v(37, 1.0);
  v[5] = v[36] = std::numeric_limits<double>::quiet_NaN();
  const Tensor x = from_values({37}, dtype(), v), ones = from_values({37}, dtype(), std::vector<double>(37, 1.0));
  for (bool tanh_form : {true, false}) {
    const auto got = on_threads({{{37}, dtype()}, {{37}, dtype()}}, [&](const Stream& s, const std::vector<View>& out) {
      gelu_forward({.x = x.view(), .y = out[0], .tanh_form = tanh_form}, s);
      gelu_backward({.x = x.view(), .dy = ones.view(), .dx = out[1], .tanh_form = tanh_form}, s);
    });
    for (const auto& y : got)
      for (size_t i = 0; i < 37; ++i) EXPECT_EQ(std::isnan(y[i]), i == 5 || i == 36) << i;
  }
}

TEST_P(Pointwise, SwigluAndItsBackwardEqualTheDefinition) {
  for (const Shape& shape : {Shape{1, 1}, Shape{3, 5}, Shape{2, 16}, Shape{37, 33}}) {
    SCOPED_TRACE(shape.str());
    const int64_t N = shape[0], F = shape[1];
    const Tensor gate_up = normal({N, 2 * F}, dtype(), 1, 4), dy = normal(shape, dtype(), 2);
    const std::vector<double> in = values(gate_up), d = values(dy);
    std::vector<double> y(d.size()), gradient(in.size());
    for (int64_t i = 0; i < N * F; ++i) {
      const size_t gate = size_t(i / F * 2 * F + i % F), up = gate + size_t(F), at = size_t(i);
      std::vector<double> g{in[gate]};
      y[at] = silu(in[gate]) * in[up];
      gradient[gate] = d[at] * in[up] * slope([](const std::vector<double>& x) { return silu(x[0]); }, g, 0);
      gradient[up] = d[at] * silu(in[gate]);
    }
    const auto got = on_threads({{shape, dtype()}, {{N, 2 * F}, dtype()}, {{N, 2 * F}, dtype(), &gate_up}},
                                [&](const Stream& s, const std::vector<View>& out) {
      swiglu_forward({.gate_up = gate_up.view(), .y = out[0]}, s);
      swiglu_backward({.gate_up = gate_up.view(), .dy = dy.view(), .dgate_up = out[1]}, s);
      swiglu_backward({.gate_up = out[2], .dy = dy.view(), .dgate_up = out[2]}, s);
    });
    expect_near(got[0], y, 1e-6, 4e-6 + rounding(), "y");
    expect_near(got[1], gradient, 1e-5, 4e-6 + rounding(), "gradient");
    EXPECT_EQ(got[1], got[2]) << "in place";
  }
}

TEST_P(Pointwise, BiasGradientIsTheSumOfRows) {
  for (const Shape& shape : {Shape{1, 1}, Shape{3, 5}, Shape{64, 16}, Shape{200, 37}, Shape{65, 600}}) {
    SCOPED_TRACE(shape.str());
    const Tensor dy = normal(shape, dtype(), 1), before = normal({shape[1]}, DType::fp32, 2);
    std::vector<double> want = values(before), d = values(dy);
    for (size_t i = 0; i < d.size(); ++i) want[i % want.size()] += d[i];
    const auto got = on_threads({{{shape[1]}, DType::fp32, &before}}, [&](const Stream& s, const std::vector<View>& out) {
      bias_backward({.dy = dy.view(), .dbias = out[0]}, s);
    });
    expect_near(got[0], want, 2e-5, 1e-6, "dbias");
  }
}

TEST_P(Pointwise, AddRoundsOnce) {
  for (int64_t n : kCounts) {
    const Tensor a = normal({n}, dtype(), 1), b = normal({n}, dtype(), 2);
    std::vector<double> want = values(a), other = values(b);
    for (size_t i = 0; i < want.size(); ++i) {
      const float sum = float(want[i]) + float(other[i]);
      want[i] = narrow() ? double(float(bf16(sum))) : double(sum);
    }
    const auto got = on_threads({{{n}, dtype()}, {{n}, dtype(), &a}}, [&](const Stream& s, const std::vector<View>& out) {
      add({.a = a.view(), .b = b.view(), .out = out[0]}, s);
      add({.a = out[1], .b = b.view(), .out = out[1]}, s);
    });
    EXPECT_EQ(got[0], want);
    EXPECT_EQ(got[1], want) << "in place";
  }
}

TEST_P(Pointwise, CastEqualsTheScalarConversions) {
  std::vector<double> v;
  for (int64_t i = 0; i < 40007; ++i) v.push_back(std::ldexp(1 + double(i * 7919 % 10007) / 10007, int(i % 60) - 30) * (i % 2 ? 1 : -1));
  v[3] = 0, v[5] = INFINITY, v[6] = -INFINITY, v[7] = 65504, v[8] = 65520, v[9] = 1e30, v[10] = 6e-8, v[11] = 2.9e-8;
  for (DType out_type : {DType::fp32, DType::bf16, DType::fp16})
    for (int64_t n : kCounts) {
      v.resize(size_t(n), 1.5);
      for (DType in_type : {dtype(), DType::fp16}) {
        const Tensor in = from_values({n}, in_type, v);
        const auto got = on_threads({{{n}, out_type}}, [&](const Stream& s, const std::vector<View>& out) {
          cast({.in = in.view(), .out = out[0]}, s);
        });
        EXPECT_EQ(got[0], values(from_values({n}, out_type, values(in)))) << name_of(in_type) << " to " << name_of(out_type);
      }
    }
}

TEST_P(Pointwise, ScaleAndZero) {
  for (int64_t n : kCounts) {
    const Tensor x = normal({n}, DType::fp32, 1);
    std::vector<double> want = values(x);
    for (double& v : want) v = double(float(v) * 0.3f);
    const auto got = on_threads({{{n}, DType::fp32, &x}, {{n}, dtype()}}, [&](const Stream& s, const std::vector<View>& out) {
      scale({.x = out[0], .factor = 0.3f}, s);
      zero({.x = out[1]}, s);
    });
    EXPECT_EQ(got[0], want);
    EXPECT_EQ(got[1], std::vector<double>(size_t(n)));
  }
}

TEST(PointwiseShapes, WrongOnesAreNamed) {
  ThreadTeam team(1);
  const Stream s(team);
  Tensor x({2, 4}, DType::fp32), y({2, 3}, DType::fp32), half({2, 4}, DType::bf16), row({3}, DType::fp32), ids({2, 4}, DType::i32);
  expect_refused([&] { gelu_forward({.x = x.view(), .y = y.view()}, s); }, "[gelu_forward] y: want (2, 4) fp32, got (2, 3) fp32");
  expect_refused([&] { gelu_backward({.x = x.view(), .dy = half.view(), .dx = x.view()}, s); }, "[gelu_backward] dy: want");
  expect_refused([&] { swiglu_forward({.gate_up = x.view(), .y = y.view()}, s); }, "[swiglu_forward] y: want (2, 2) fp32");
  expect_refused([&] { swiglu_backward({.gate_up = y.view(), .dy = y.view(), .dgate_up = y.view()}, s); }, "[swiglu_backward]");
  expect_refused([&] { bias_backward({.dy = x.view(), .dbias = row.view()}, s); }, "[bias_backward] dbias: want (4) fp32");
  expect_refused([&] { add({.a = x.view(), .b = y.view(), .out = x.view()}, s); }, "[add] b: want (2, 4) fp32");
  expect_refused([&] { cast({.in = x.view(), .out = y.view()}, s); }, "[cast] out: want (2, 4) fp32");
  expect_refused([&] { cast({.in = ids.view(), .out = x.view()}, s); }, "[cast] in");
  expect_refused([&] { scale({.x = half.view(), .factor = 2}, s); }, "[scale] x: want (2, 4) fp32, got (2, 4) bf16");
}

}  // namespace
}  // namespace tw
