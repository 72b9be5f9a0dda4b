#include "kernels/int8_matmul.h"

#include <limits>

#include "kernels/embedding.h"
#include "kernels/op_probe.h"
#include "tests/kernels/op_test.h"

namespace tw {
namespace {

// Of a CPU alone.
struct Matrix {
  Matrix(int64_t N, int64_t K, uint32_t stream, double scale = 0.1) : Matrix(normal({N, K}, DType::fp32, stream, scale)) {}
  explicit Matrix(const Tensor& weights)
      : N(weights.shape()[0]), K(weights.shape()[1]), values({N, int8_row(K)}, DType::i8), scales({N, int8_groups(K)}, DType::bf16) {
    std::memset(values.view().data, 0x55, values.view().bytes());
    ThreadTeam team(2);
    quantize_int8({.weights = weights.view(), .values = values.view(), .scales = scales.view()}, Stream(team));
  }
  double at(int64_t n, int64_t k) const {
    return double(values.as<int8_t>()[n * int8_row(K) + k]) * double(float(scales.as<bf16>()[n * int8_groups(K) + k / kInt8Group]));
  }
  int64_t N, K;
  Tensor values, scales;
};

TEST(QuantizeInt8, EveryWeightIsWithinHalfAScale) {
  for (const int64_t K : {1, 24, 64, 65, 768, 1000}) {
    Tensor weights = normal({5, K}, DType::fp32, uint32_t(K), 0.02);
    weights.as<float>()[0] = 3;                          // an outlier
    for (int64_t k = 0; k < K; ++k) weights.as<float>()[4 * K + k] = 0;
    const Matrix m(weights);
    for (int64_t n = 0; n < 5; ++n) {
      for (int64_t k = 0; k < K; ++k) {
        const double scale = double(float(m.scales.as<bf16>()[n * int8_groups(K) + k / kInt8Group])), w = double(weights.as<float>()[n * K + k]);
        EXPECT_LE(std::abs(m.at(n, k) - w), 0.5 * scale * (1 + 1e-6));
        EXPECT_LE(std::abs(int(m.values.as<int8_t>()[n * int8_row(K) + k])), 127);
      }
      for (int64_t k = K; k < int8_row(K); ++k) EXPECT_EQ(m.values.as<int8_t>()[n * int8_row(K) + k], 0) << "behind the row";
    }
    EXPECT_EQ(m.values.as<int8_t>()[0], 127) << "the largest of a group is at the end of the range, within the scale's rounding";
    EXPECT_EQ(float(m.scales.as<bf16>()[4 * int8_groups(K)]), 0.0f);
  }
}

TEST(QuantizeInt8, WhatHasNoValueIsRefused) {
  ThreadTeam team(1);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Tensor weights = normal({3, 70}, DType::fp32, 1);
    weights.as<float>()[100] = bad;
    expect_refused([&] { (void)Matrix(weights); }, "not finite");
  }
}

struct Int8Product : OpTest {
  // Every product against sums in double of the weights as they are in 8 bits.
  void check(int64_t M, int64_t N, int64_t K, DType out_type, bool with_bias) const {
    SCOPED_TRACE(testing::Message() << M << "x" << N << "x" << K << " into " << name_of(out_type));
    const Matrix w(N, K, 7);
    Tensor a = normal({M, K}, dtype(), 8);
    if (dtype() == DType::fp32) a.as<float>()[0] *= 300;  // an outlier spoils its own group alone
    else a.as<bf16>()[0] = bf16(300);
    const Tensor bias = normal({N}, with_bias ? dtype() : DType::fp32, 9);
    Tensor scratch({int8_scratch(K)}, DType::u8);
    const auto out = on_threads({{{M, N}, out_type}}, [&](const Stream& stream, const std::vector<View>& o) {
      int8_matmul({.a = a.view(), .values = w.values.view(), .scales = w.scales.view(), .out = o[0], .bias = with_bias ? bias.view() : ConstView{},
                   .scratch = M > 8 ? scratch.view() : View{}},
                  stream);
    });
    const std::vector<double> x = values(a), b = values(bias);
    for (int64_t m = 0; m < M; ++m)
      for (int64_t n = 0; n < N; ++n) {
        double want = with_bias ? b[size_t(n)] : 0, size = std::abs(want), integers = 0;
        for (int64_t g = 0; g < int8_groups(K); ++g) {
          double largest = 0, weights = 0;
          for (int64_t k = g * kInt8Group; k < std::min(K, (g + 1) * kInt8Group); ++k) {
            const double v = x[size_t(m * K + k)];
            want += v * w.at(n, k), size += std::abs(v * w.at(n, k));
            largest = std::max(largest, std::abs(v)), weights += std::abs(w.at(n, k));
          }
          integers += largest / 65534 * weights;
        }
        const double tolerance = 0x1p-21 * size + (M <= 8 ? integers * 1.001 : narrow() ? 0x1p-8 * size : 0) +
                                 (out_type == DType::bf16 ? 0x1p-8 * std::abs(want) : 0) + 1e-30;
        const double got = out[0][size_t(m * N + n)];
        if (!(std::abs(got - want) <= tolerance)) FAIL() << "(" << m << ", " << n << "): " << got << " not " << want << " within " << tolerance;
      }
  }
};

TEST_P(Int8Product, EqualsTheSumsOfItsWeights) {
  for (const int64_t K : {1, 24, 64, 65, 200, 768})
    for (const int64_t M : {1, 2, 3, 4, 5, 6, 7, 8, 9, 40}) {
      check(M, 37, K, DType::fp32, M % 2);
      check(M, 37, K, dtype(), true);
    }
  check(1, 1, 3072, DType::fp32, true);
  check(2, 700, 64, DType::fp32, true);   // several blocks of rows, and of both kinds of products
  check(530, 700, 70, dtype(), true);
}

// A row that is not finite gives NaN, and only that row.
TEST_P(Int8Product, NotFiniteStaysSo) {
  const Matrix w(9, 130, 7);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    Tensor a = normal({2, 130}, dtype(), 8);
    if (narrow()) a.as<bf16>()[129] = bf16(bad);
    else a.as<float>()[129] = bad;
    const auto out = on_threads({{{2, 9}, DType::fp32}}, [&](const Stream& stream, const std::vector<View>& o) {
      int8_matmul({.a = a.view(), .values = w.values.view(), .scales = w.scales.view(), .out = o[0]}, stream);
    });
    for (size_t i = 0; i < 18; ++i) EXPECT_EQ(std::isfinite(out[0][i]), i >= 9) << i;
  }
}

TEST_P(Int8Product, EmbeddingReadsTheSameIntegers) {
  const int64_t C = 70;
  const Matrix table(11, C, 3);
  const Tensor ids = from_values({2, 3}, DType::i32, {0, 10, 3, 3, 7, 1}), positions = normal({5, C}, dtype(), 4);
  for (const bool learned : {false, true}) {
    const auto out = on_threads({{{2, 3, C}, dtype()}}, [&](const Stream& stream, const std::vector<View>& o) {
      embedding_forward({.ids = ids.view(), .tokens = table.values.view(), .token_scales = table.scales.view(),
                         .positions = learned ? positions.view() : ConstView{}, .x = o[0], .first_position = learned ? 2 : 0},
                        stream);
    });
    const std::vector<double> id = values(ids), place = values(positions);
    for (size_t n = 0; n < 6; ++n)
      for (int64_t c = 0; c < C; ++c) {
        const double want = table.at(int64_t(id[n]), c) + (learned ? place[(2 + n % 3) * size_t(C) + size_t(c)] : 0);
        EXPECT_NEAR(out[0][n * size_t(C) + size_t(c)], want, (rounding() + 1e-6) * std::abs(want) + 1e-7);
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Int8Product, op_levels(), op_level_name);

TEST(Int8MatMul, ReadsHalfTheBytes) {
  struct Watch final : OpProbe {
    void begin(const Stream&) override {}
    void end(const char* op, const OpWork& work, const Stream&) override { name = op, bytes = work.bytes; }
    std::string name;
    double bytes = 0;
  } watch;
  const Matrix w(64, 640, 7);
  const Tensor a = normal({1, 640}, DType::bf16, 8);
  Tensor out({1, 64}, DType::fp32);
  ThreadTeam team(1);
  int8_matmul({.a = a.view(), .values = w.values.view(), .scales = w.scales.view(), .out = out.view()}, Stream(team).watched_by(&watch));
  EXPECT_EQ(watch.name, "int8_matmul");
  EXPECT_EQ(watch.bytes, 64 * 640 * (1 + 2.0 / 64) + 640 * 2 + 64 * 4);
}

TEST(Int8MatMul, WrongViewsAreNamed) {
  const Matrix w(4, 70, 7);
  const Tensor a = normal({1, 70}, DType::fp32, 1), many = normal({9, 70}, DType::fp32, 1);
  Tensor out({1, 4}, DType::fp32), wide({9, 4}, DType::fp32), other({1, 5}, DType::fp32), small({100}, DType::u8);
  ThreadTeam team(1);
  const Stream stream(team);
  expect_refused([&] { int8_matmul({.a = a.view(), .values = w.values.view(), .scales = w.scales.view(), .out = other.view()}, stream); },
                 "[int8_matmul] values: want (5, 128) i8, got (4, 128) i8");
  expect_refused([&] { int8_matmul({.a = a.view(), .values = w.values.view(), .scales = a.view(), .out = out.view()}, stream); }, "scales");
  expect_refused([&] { int8_matmul({.a = many.view(), .values = w.values.view(), .scales = w.scales.view(), .out = wide.view(), .scratch = small.view()}, stream); },
                 "scratch of 100 bytes");
  expect_refused([&] { int8_matmul({.a = many.view(), .values = w.values.view(), .scales = w.scales.view(), .out = wide.view()}, stream); }, "scratch");
}

}  // namespace
}  // namespace tw
