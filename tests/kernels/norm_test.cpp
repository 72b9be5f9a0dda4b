#include "kernels/norm.h"

#include "tests/kernels/op_test.h"

namespace tw {
namespace {

using Norm = OpTest;
INSTANTIATE_TEST_SUITE_P(Ops, Norm, op_levels(), op_level_name);

// Rows and columns: one, odd, around the vector widths (4, 8, 16), and several blocks of rows.
const Shape kShapes[] = {{1, 1}, {3, 5}, {2, 16}, {17, 33}, {150, 7}, {5, 64}, {4, 131}};
constexpr float kEps = 1e-5f;

// One row by the definition.
struct Row {
  double mean = 0, rstd = 0;
  std::vector<double> y;
};
Row normalise(const double* s, const std::vector<double>& gamma, const std::vector<double>& beta) {
  const size_t C = gamma.size();
  Row r;
  if (!beta.empty()) {
    for (size_t c = 0; c < C; ++c) r.mean += s[c];
    r.mean /= double(C);
  }
  double squares = 0;
  for (size_t c = 0; c < C; ++c) squares += (s[c] - r.mean) * (s[c] - r.mean);
  r.rstd = 1 / std::sqrt(squares / double(C) + double(kEps));
  for (size_t c = 0; c < C; ++c) r.y.push_back(gamma[c] * (s[c] - r.mean) * r.rstd + (beta.empty() ? 0 : beta[c]));
  return r;
}

struct Variant {
  bool layer_norm, second;  // second: with residual forward, with dsum backward
  DType gain;
};
std::vector<Variant> variants(DType dtype) {
  std::vector<Variant> all;
  for (bool layer_norm : {true, false})
    for (bool second : {true, false})
      for (DType gain : {DType::fp32, DType::bf16})
        if (gain == DType::fp32 || dtype == DType::bf16) all.push_back({layer_norm, second, gain});
  return all;
}
std::string str(const Variant& v, const Shape& shape) {
  return shape.str() + (v.layer_norm ? " layer norm" : " RMS norm") + (v.second ? " residual " : " ") +
         std::string(name_of(v.gain));
}

TEST_P(Norm, ForwardEqualsTheDefinition) {
  for (const Shape& shape : kShapes)
    for (const Variant& v : variants(dtype())) {
      SCOPED_TRACE(str(v, shape));
      const int64_t N = shape[0], C = shape[1];
      const Tensor x = normal(shape, dtype(), 1, 2, 0.5), residual = normal(shape, dtype(), 2);
      const Tensor gamma = normal({C}, v.gain, 3, 0.3, 1), beta = normal({C}, v.gain, 4);
      const auto got = on_threads(
          {{shape, dtype()}, {shape, dtype()}, {{N}}, {{N}}}, [&](const Stream& stream, const std::vector<View>& out) {
            norm_forward({.x = x.view(), .residual = v.second ? residual.view() : ConstView(),
                          .sum = v.second ? out[0] : View(), .gamma = gamma.view(),
                          .beta = v.layer_norm ? beta.view() : ConstView(), .y = out[1],
                          .mean = v.layer_norm ? out[2] : View(), .rstd = out[3], .eps = kEps},
                         stream);
          });
      std::vector<double> s = values(x), mean, rstd, y;
      if (v.second) {
        const std::vector<double> other = values(residual);
        for (size_t i = 0; i < s.size(); ++i) {
          const float sum = float(s[i]) + float(other[i]);  // as stored
          s[i] = narrow() ? double(float(bf16(sum))) : double(sum);
        }
        expect_near(got[0], s, 0, 0, "sum");
      }
      for (int64_t n = 0; n < N; ++n) {
        const Row row = normalise(&s[size_t(n * C)], values(gamma), v.layer_norm ? values(beta) : std::vector<double>());
        mean.push_back(row.mean), rstd.push_back(row.rstd);
        y.insert(y.end(), row.y.begin(), row.y.end());
      }
      expect_near(got[1], y, 3e-6, 3e-6 + rounding(), "y");
      if (v.layer_norm) expect_near(got[2], mean, 1e-6, 1e-6, "mean");
      expect_near(got[3], rstd, 0, 2e-6, "rstd");
    }
}

TEST_P(Norm, BackwardEqualsFiniteDifferences) {
  for (const Shape& shape : kShapes)
    for (const Variant& v : variants(dtype())) {
      SCOPED_TRACE(str(v, shape));
      const int64_t N = shape[0], C = shape[1];
      const Tensor x = normal(shape, dtype(), 1, 2, 0.5), dy = normal(shape, dtype(), 5), dsum = normal(shape, dtype(), 6);
      const Tensor gamma = normal({C}, v.gain, 3, 0.3, 1), before = normal({C}, DType::fp32, 7);
      const std::vector<double> g = values(gamma), zeros(v.layer_norm ? size_t(C) : 0), d = values(dy);
      std::vector<double> s = values(x), mean, rstd, dx, dgamma = values(before), dbeta = values(before);
      double largest = 1;
      for (int64_t n = 0; n < N; ++n) {
        const double* at = &d[size_t(n * C)];
        std::vector<double> row(&s[size_t(n * C)], &s[size_t(n * C)] + C);
        const Row r = normalise(row.data(), g, zeros);
        mean.push_back(r.mean), rstd.push_back(r.rstd);
        largest = std::max(largest, r.rstd);
        for (int64_t c = 0; c < C; ++c) {
          const size_t i = size_t(c);
          dx.push_back(slope([&](const std::vector<double>& moved) {
            double loss = 0;
            const std::vector<double> y = normalise(moved.data(), g, zeros).y;
            for (size_t k = 0; k < y.size(); ++k) loss += at[k] * y[k];
            return loss;
          }, row, i, 1e-4));
          dgamma[i] += at[i] * (row[i] - r.mean) * r.rstd;  // y is linear in both
          dbeta[i] += at[i];
        }
      }
      if (v.second) {
        const std::vector<double> other = values(dsum);
        for (size_t i = 0; i < dx.size(); ++i) dx[i] += other[i];
      }
      const Tensor saved_mean = from_values({N}, DType::fp32, mean), saved_rstd = from_values({N}, DType::fp32, rstd);
      const auto got = on_threads({{shape, dtype()}, {{C}, DType::fp32, &before}, {{C}, DType::fp32, &before}},
                                  [&](const Stream& stream, const std::vector<View>& out) {
                                    norm_backward({.dy = dy.view(), .s = x.view(), .gamma = gamma.view(),
                                                   .mean = v.layer_norm ? saved_mean.view() : ConstView(),
                                                   .rstd = saved_rstd.view(),
                                                   .dsum = v.second ? dsum.view() : ConstView(), .dx = out[0],
                                                   .dgamma = out[1], .dbeta = v.layer_norm ? out[2] : View()},
                                                  stream);
                                  });
      expect_near(got[0], dx, 2e-6 * largest, 1e-5 + rounding(), "dx");
      expect_near(got[1], dgamma, 2e-5, 2e-6, "dgamma");
      expect_near(got[2], v.layer_norm ? dbeta : values(before), 2e-5, 2e-6, "dbeta");
      const auto frozen = on_threads({{shape, dtype()}}, [&](const Stream& stream, const std::vector<View>& out) {
        norm_backward({.dy = dy.view(), .s = x.view(), .gamma = gamma.view(), .mean = v.layer_norm ? saved_mean.view() : ConstView(),
                       .rstd = saved_rstd.view(), .dsum = v.second ? dsum.view() : ConstView(), .dx = out[0]}, stream);
      });
      EXPECT_EQ(frozen[0], got[0]) << "gains that are not trained";
    }
}

TEST_P(Norm, InPlaceGivesTheSameBits) {
  const Shape shape{19, 37};
  const Tensor x = normal(shape, dtype(), 1), residual = normal(shape, dtype(), 2), gamma = normal({37}, DType::fp32, 3);
  const Tensor rstd = normal({19}, DType::fp32, 4, 0.1, 1), zeros({37}, DType::fp32);
  const auto forward = [&](const Tensor* start) {
    return on_threads({{shape, dtype(), start}, {shape, dtype()}, {{19}}}, [&](const Stream& s, const std::vector<View>& out) {
      norm_forward({.x = start ? ConstView(out[0]) : x.view(), .residual = residual.view(), .sum = out[0],
                    .gamma = gamma.view(), .y = out[1], .rstd = out[2]}, s);
    });
  };
  EXPECT_EQ(forward(nullptr), forward(&x));
  const auto backward = [&](const Tensor* start) {
    return on_threads({{shape, dtype(), start}, {{37}, DType::fp32, &zeros}}, [&](const Stream& s, const std::vector<View>& out) {
      norm_backward({.dy = residual.view(), .s = x.view(), .gamma = gamma.view(), .rstd = rstd.view(),
                     .dsum = start ? ConstView(out[0]) : x.view(), .dx = out[0], .dgamma = out[1]}, s);
    });
  };
  EXPECT_EQ(backward(nullptr), backward(&x));
}

TEST_P(Norm, FarFromZeroTheVarianceDoesNotCancel) {
  if (narrow()) return;  // bf16 holds no such rows
  const int64_t C = 1000;
  const Tensor x = normal({2, C}, DType::fp32, 1, 1, 3000), gamma = from_values({C}, DType::fp32, std::vector<double>(C, 1));
  const Tensor beta({C}, DType::fp32);
  const auto got = on_threads({{{2, C}}, {{2}}, {{2}}}, [&](const Stream& stream, const std::vector<View>& out) {
    norm_forward({.x = x.view(), .gamma = gamma.view(), .beta = beta.view(), .y = out[0], .mean = out[1], .rstd = out[2]}, stream);
  });
  const std::vector<double> s = values(x);
  for (int64_t n = 0; n < 2; ++n)
    EXPECT_NEAR(got[2][size_t(n)] / normalise(&s[size_t(n * C)], values(gamma), values(beta)).rstd, 1, 1e-5);
}

// Rows that take several packs a thread, or more than registers hold, against the CPU.
TEST_P(Norm, LongRowsOnAGpuEqualThoseOfTheCpu) {
  if (!kOnGpu) GTEST_SKIP() << "a test of GPUs";
  ThreadTeam team(1);
  const OpStream gpu;
  for (const int64_t C : {4100, 8192, 8200})
    for (const Variant& v : variants(dtype())) {
      SCOPED_TRACE(str(v, {3, C}));
      const Tensor x = normal({3, C}, dtype(), 1, 2, 0.5), dy = normal({3, C}, dtype(), 2), gamma = normal({C}, v.gain, 3, 0.3, 1), beta = normal({C}, v.gain, 4);
      std::vector<std::vector<double>> results[2];
      for (const bool on_gpu : {false, true}) {
        const Stream stream = on_gpu ? Stream(gpu) : Stream(team);
        Tensor y = poisoned({3, C}, dtype()), mean = poisoned({3}, DType::fp32), rstd = poisoned({3}, DType::fp32), dx = poisoned({3, C}, dtype()),
               dgamma = tensor({C}, DType::fp32), dbeta = tensor({C}, DType::fp32);
        norm_forward({.x = x.view(), .gamma = gamma.view(), .beta = v.layer_norm ? beta.view() : ConstView(), .y = y.view(),
                      .mean = v.layer_norm ? mean.view() : View(), .rstd = rstd.view(), .eps = kEps}, stream);
        norm_backward({.dy = dy.view(), .s = x.view(), .gamma = gamma.view(), .mean = v.layer_norm ? mean.view() : View(), .rstd = rstd.view(),
                       .dsum = v.second ? dy.view() : ConstView(), .dx = dx.view(), .dgamma = dgamma.view(),
                       .dbeta = v.layer_norm ? dbeta.view() : View()}, stream);
        synchronize(stream);
        results[on_gpu] = {values(y), values(dx), values(dgamma), values(dbeta)};
      }
      for (size_t i = 0; i < 4; ++i) expect_near(results[1][i], results[0][i], 1e-5, 1e-5 + 2 * rounding(), "y, dx, dgamma, dbeta");
    }
}

TEST(NormShapes, WrongOnesAreNamed) {
  ThreadTeam team(1);
  const Stream stream(team);
  Tensor x({2, 4}, DType::fp32), row({2}, DType::fp32), gain({4}, DType::fp32), bad({3}, DType::fp32), half({2, 4}, DType::bf16);
  expect_refused([&] { norm_forward({.x = x.view(), .gamma = bad.view(), .y = x.view(), .rstd = row.view()}, stream); },
                 "[norm_forward] gamma: want (4) fp32, got (3) fp32");
  expect_refused([&] { norm_forward({.x = x.view(), .gamma = gain.view(), .y = half.view(), .rstd = row.view()}, stream); },
                 "[norm_forward] y: want (2, 4) fp32, got (2, 4) bf16");
  expect_refused([&] { norm_forward({.x = x.view(), .residual = x.view(), .gamma = gain.view(), .y = x.view(),
                                     .rstd = row.view()}, stream); }, "residual and sum come together");
  expect_refused([&] { norm_backward({.dy = x.view(), .s = half.view(), .gamma = gain.view(), .rstd = row.view(),
                                      .dx = x.view(), .dgamma = gain.view()}, stream); },
                 "[norm_backward] s: want (2, 4) fp32, got (2, 4) bf16");
  expect_refused([&] { norm_backward({.dy = x.view(), .s = x.view(), .gamma = gain.view(), .mean = row.view(),
                                      .rstd = row.view(), .dx = x.view(), .dgamma = gain.view()}, stream); },
                 "mean and dbeta come together");
  expect_refused([&] { norm_backward({.dy = x.view(), .s = x.view(), .gamma = gain.view(), .mean = row.view(),
                                      .rstd = row.view(), .dx = x.view(), .dbeta = gain.view()}, stream); },
                 "dbeta with dgamma");
}

}  // namespace
}  // namespace tw
