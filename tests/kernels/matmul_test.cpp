#include "kernels/matmul.h"

#include <array>
#include <ostream>

#include "kernels/cpu/matmul.h"
#include "kernels/pointwise.h"
#include "tests/kernels/op_test.h"

namespace tw {
namespace {

// Uniform in [-1.7, 1.7).
Tensor random(Shape shape, DType dtype, uint32_t stream) {
  Tensor x = tensor(shape, dtype);
  const Rng rng{.seed = 3, .stream = RngStream::test, .a = stream};
  std::array<uint32_t, 4> words{};
  for (int64_t i = 0; i < x.count(); ++i) {
    if (i % 4 == 0) words = rng.block(uint64_t(i / 4));
    const float v = float(int32_t(words[size_t(i % 4)])) * (1.7f / 0x1p31f);
    if (dtype == DType::fp32)
      x.as<float>()[i] = v;
    else
      x.as<bf16>()[i] = bf16(v);
  }
  return x;
}
double at(const Tensor& x, int64_t i) {
  return x.dtype() == DType::fp32 ? double(x.as<float>()[i]) : double(float(x.as<bf16>()[i]));
}
// (rows, columns) in double; x is stored (columns, rows) with `transposed`.
std::vector<double> dense(const Tensor& x, int64_t rows, int64_t columns, bool transposed) {
  std::vector<double> v;
  v.reserve(size_t(rows * columns));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j)
      v.push_back(at(x, transposed ? j * rows + i : i * columns + j));
  }
  return v;
}

struct Case {
  int64_t M, N, K;
};
std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.M << "x" << c.N << "x" << c.K;
}

// dtype of inputs and output
struct Types {
  DType in, out;
};

class MatMulShapes : public testing::TestWithParam<std::tuple<Case, cpu::SimdLevel>> {
 protected:
  void SetUp() override {
    const cpu::SimdLevel level = std::get<1>(GetParam());
    if (!kOnGpu && cpu::best_simd_level() < level) GTEST_SKIP() << "this CPU has no such instructions";
    cpu::limit_simd_level(level);
  }
  void TearDown() override { cpu::limit_simd_level(cpu::SimdLevel::v4); }

  // Every combination of transposes, bias and accumulation against sums in double, on 1 and 2
  // threads.
  static void check(const Case& c, Types types,
                    void (*product)(const MatMul&, const Stream&) = matmul) {
    for (int variant = 0; variant < 16; ++variant) {
      const bool ta = variant & 1, tb = variant & 2, accumulate = variant & 4,
                 with_bias = variant & 8;
      SCOPED_TRACE(testing::Message()
                   << c << (ta ? " a^T" : "") << (tb ? " b^T" : "")
                   << (accumulate ? " accumulate" : "") << (with_bias ? " bias" : ""));
      const Tensor a = random(ta ? Shape{c.K, c.M} : Shape{c.M, c.K}, types.in, 1);
      const Tensor b = random(tb ? Shape{c.N, c.K} : Shape{c.K, c.N}, types.in, 2);
      const Tensor bias = random({c.N}, variant & 2 ? types.in : DType::fp32, 3);
      const Tensor before = random({c.M, c.N}, types.out, 4);
      const std::vector<double> A = dense(a, c.M, c.K, ta), Bt = dense(b, c.N, c.K, !tb);
      Tensor first;
      for (int threads : {1, 2}) {
        const OpStream stream(threads);
        Tensor out = tensor({c.M, c.N}, types.out);
        std::memset(out.view().data, 0xff, out.view().bytes());  // NaN
        if (accumulate) std::memcpy(out.view().data, before.view().data, out.view().bytes());
        Mirror m(stream);
        product({.a = m.in(a.view()),
                 .b = m.in(b.view()),
                 .out = m.out(out.view()),
                 .bias = with_bias ? m.in(bias.view()) : ConstView{},
                 .transpose_a = ta,
                 .transpose_b = tb,
                 .accumulate = accumulate},
                stream);
        m.done();
        if (threads > 1) {
          EXPECT_EQ(std::memcmp(out.view().data, first.view().data, out.view().bytes()), 0)
              << threads << " threads";
          continue;
        }
        for (int64_t m = 0; m < c.M; ++m) {
          for (int64_t n = 0; n < c.N; ++n) {
            const double added = with_bias ? at(bias, n) : 0, start = accumulate ? at(before, m * c.N + n) : 0;
            double want = added + start, size = std::abs(added) + std::abs(start);
            const double *row = A.data() + m * c.K, *column = Bt.data() + n * c.K;
            for (int64_t k = 0; k < c.K; ++k)
              want += row[k] * column[k], size += std::abs(row[k] * column[k]);
            // Rounding errors of K additions grow like sqrt(K) as a rule.
            const double tolerance = 0x1p-24 * (4 + 2 * std::sqrt(double(c.K))) * size +
                                     (types.out == DType::bf16 ? 0x1p-8 * std::abs(want) : 0) +
                                     // A GPU's library may round the product before a bias of another type is added.
                                     (kOnGpu && types.out == DType::bf16 ? 0x1p-8 * std::abs(want - added) : 0) +
                                     1e-30;
            const double got = at(out, m * c.N + n);
            if (!(std::abs(got - want) <= tolerance))
              FAIL() << "(" << m << ", " << n << "): " << got << " not " << want;
          }
        }
        first = std::move(out);
      }
    }
  }
};

TEST_P(MatMulShapes, Fp32EqualsTheSums) {
  check(std::get<0>(GetParam()), {DType::fp32, DType::fp32});
}
TEST_P(MatMulShapes, Bf16EqualsTheSums) {
  check(std::get<0>(GetParam()), {DType::bf16, DType::bf16});
}
TEST_P(MatMulShapes, Bf16IntoFp32EqualsTheSums) {
  check(std::get<0>(GetParam()), {DType::bf16, DType::fp32});
}

// The ways that this CPU or these shapes would not take by themselves.
TEST_P(MatMulShapes, EveryWayEqualsTheSums) {
  if (kOnGpu) GTEST_SKIP() << "ways of the CPU";
  check(std::get<0>(GetParam()), {DType::fp32, DType::fp32}, cpu::matmul_gemm);
  check(std::get<0>(GetParam()), {DType::bf16, DType::bf16}, cpu::matmul_bf16_pairs);
  check(std::get<0>(GetParam()), {DType::bf16, DType::fp32}, cpu::matmul_bf16_pairs);
}

// The epilogues against the product and the ops they stand for.
TEST_P(MatMulShapes, EpiloguesEqualTheirOps) {
  const Case c = std::get<0>(GetParam());
  for (const DType dtype : {DType::fp32, DType::bf16})
    for (const bool tanh_form : {true, false}) {
      const Tensor a = random({c.M, c.K}, dtype, 1), b = random({c.N, c.K}, dtype, 2), bias = random({c.N}, dtype, 3),
                   back = random({c.K, c.N}, dtype, 5), before = random({c.N}, DType::fp32, 6);
      const OpStream stream;
      const auto made = [&](Shape shape, DType type) { return poisoned(shape, type); };
      Tensor plain = made({c.M, c.N}, dtype), active = made({c.M, c.N}, dtype), aux = made({c.M, c.N}, dtype),
             fused = made({c.M, c.N}, dtype), slope = made({c.M, c.N}, dtype), fused_slope = made({c.M, c.N}, dtype),
             sums = made({c.N}, DType::fp32), fused_sums = made({c.N}, DType::fp32);
      for (Tensor* t : {&sums, &fused_sums}) std::memcpy(t->view().data, before.view().data, before.view().bytes());
      Mirror m(stream);
      const ConstView A = m.in(a.view()), B = m.in(b.view()), bias_view = m.in(bias.view()), back_view = m.in(back.view());
      const View plain_view = m.out(plain.view()), slope_view = m.out(slope.view());
      matmul({.a = A, .b = B, .out = plain_view, .bias = bias_view, .transpose_b = true}, stream);
      gelu_forward({.x = plain_view, .y = m.out(active.view()), .tanh_form = tanh_form}, stream);
      matmul({.a = A, .b = B, .out = m.out(fused.view()), .bias = bias_view, .transpose_b = true, .epilogue = Epilogue::gelu,
              .aux = m.out(aux.view()), .tanh_form = tanh_form}, stream);
      matmul({.a = A, .b = back_view, .out = slope_view}, stream);
      gelu_backward({.x = plain_view, .dy = slope_view, .dx = slope_view, .tanh_form = tanh_form}, stream);
      bias_backward({.dy = slope_view, .dbias = m.out(sums.view())}, stream);
      matmul({.a = A, .b = back_view, .out = m.out(fused_slope.view()), .epilogue = Epilogue::gelu_backward, .aux = plain_view,
              .tanh_form = tanh_form, .dbias = m.out(fused_sums.view())}, stream);
      m.done();
      const double relative = dtype == DType::bf16 ? 0x1p-6 : 2e-5, absolute = (dtype == DType::bf16 ? 2e-3 : 2e-6) * std::sqrt(double(c.K) + 100);
      expect_near(values(aux), values(plain), absolute, relative, "aux");
      expect_near(values(fused), values(active), absolute, relative, "gelu");
      expect_near(values(fused_slope), values(slope), absolute, relative, "gelu backward");
      std::vector<double> of_columns = values(before);
      const std::vector<double> rows = values(fused_slope);
      for (size_t i = 0; i < rows.size(); ++i) of_columns[i % size_t(c.N)] += rows[i];
      expect_near(values(fused_sums), of_columns, 1e-3, 1e-4, "dbias");
    }
}

INSTANTIATE_TEST_SUITE_P(
    Ops, MatMulShapes,
    testing::Combine(testing::Values(Case{1, 1, 1}, Case{1, 1, 0}, Case{3, 5, 0}, Case{1, 37, 65},
                                     Case{1, 300, 512}, Case{2, 33, 40}, Case{4, 64, 64},
                                     Case{7, 130, 31}, Case{8, 17, 129}, Case{9, 16, 16},
                                     Case{5, 1, 77}, Case{33, 31, 1}, Case{65, 47, 300},
                                     Case{100, 70, 513}, Case{600, 19, 23}, Case{20, 1100, 9},
                                     Case{9, 40, 4400}, Case{300, 70, 20}, Case{40, 72, 136}),
                     testing::ValuesIn(test_levels())),
    [](const auto& info) {
      const Case& c = std::get<0>(info.param);
      return std::to_string(c.M) + "x" + std::to_string(c.N) + "x" + std::to_string(c.K) +
             level_name(std::get<1>(info.param));
    });

TEST(MatMul, WrongShapesAreNamed) {
  Tensor a({2, 3}, DType::fp32), b({4, 5}, DType::fp32), out({2, 5}, DType::fp32);
  ThreadTeam team(1);
  try {
    matmul({.a = a.view(), .b = b.view(), .out = out.view()}, Stream(team));
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("[matmul] b: want (3, 5) fp32, got (4, 5) fp32"),
              std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace tw
