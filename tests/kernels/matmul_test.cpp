#include "kernels/matmul.h"

#include <array>
#include <cmath>
#include <cstring>
#include <ostream>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/cpu/matmul.h"
#include "kernels/cpu/simd.h"
#include "src/core/rng.h"
#include "src/core/thread_team.h"

namespace tw {
namespace {

// Uniform in [-1.7, 1.7).
Tensor random(Shape shape, DType dtype, uint32_t stream) {
  Tensor x(shape, dtype);
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
    if (cpu::best_simd_level() < level) GTEST_SKIP() << "this CPU has no such instructions";
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
      if (accumulate && types.out != DType::fp32) continue;
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
        ThreadTeam team(threads);
        Tensor out({c.M, c.N}, types.out);
        std::memset(out.view().data, 0xff, out.view().bytes());  // NaN
        if (accumulate) std::memcpy(out.view().data, before.view().data, out.view().bytes());
        product({.a = a.view(),
                 .b = b.view(),
                 .out = out.view(),
                 .bias = with_bias ? bias.view() : View{},
                 .transpose_a = ta,
                 .transpose_b = tb,
                 .accumulate = accumulate},
                Stream(team));
        if (threads > 1) {
          EXPECT_EQ(std::memcmp(out.view().data, first.view().data, out.view().bytes()), 0)
              << threads << " threads";
          continue;
        }
        for (int64_t m = 0; m < c.M; ++m) {
          for (int64_t n = 0; n < c.N; ++n) {
            double want =
                       (with_bias ? at(bias, n) : 0) + (accumulate ? at(before, m * c.N + n) : 0),
                   size = std::abs(want);
            const double *row = A.data() + m * c.K, *column = Bt.data() + n * c.K;
            for (int64_t k = 0; k < c.K; ++k)
              want += row[k] * column[k], size += std::abs(row[k] * column[k]);
            // Rounding errors of K additions grow like sqrt(K) as a rule.
            const double tolerance = 0x1p-24 * (4 + 2 * std::sqrt(double(c.K))) * size +
                                     (types.out == DType::bf16 ? 0x1p-8 * std::abs(want) : 0) +
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
  if (std::get<0>(GetParam()).K == 0) GTEST_SKIP() << "these want K > 0";
  check(std::get<0>(GetParam()), {DType::fp32, DType::fp32}, cpu::matmul_gemm);
  check(std::get<0>(GetParam()), {DType::bf16, DType::bf16}, cpu::matmul_bf16_pairs);
  check(std::get<0>(GetParam()), {DType::bf16, DType::fp32}, cpu::matmul_bf16_pairs);
}

INSTANTIATE_TEST_SUITE_P(
    Cpu, MatMulShapes,
    testing::Combine(testing::Values(Case{1, 1, 1}, Case{1, 1, 0}, Case{3, 5, 0}, Case{1, 37, 65},
                                     Case{1, 300, 512}, Case{2, 33, 40}, Case{4, 64, 64},
                                     Case{7, 130, 31}, Case{8, 17, 129}, Case{9, 16, 16},
                                     Case{5, 1, 77}, Case{33, 31, 1}, Case{65, 47, 300},
                                     Case{100, 70, 513}, Case{600, 19, 23}, Case{20, 1100, 9},
                                     Case{9, 40, 4400}, Case{300, 70, 20}),
                     testing::Values(cpu::SimdLevel::v1, cpu::SimdLevel::v3, cpu::SimdLevel::v4)),
    [](const auto& info) {
      const Case& c = std::get<0>(info.param);
      return std::to_string(c.M) + "x" + std::to_string(c.N) + "x" + std::to_string(c.K) + "V" +
             std::to_string(int(std::get<1>(info.param)));
    });

TEST(MatMul, WrongShapesAreNamed) {
  Tensor a({2, 3}, DType::fp32), b({4, 5}, DType::fp32), out({2, 5}, DType::fp32),
      half({2, 5}, DType::bf16);
  ThreadTeam team(1);
  try {
    matmul({.a = a.view(), .b = b.view(), .out = out.view()}, Stream(team));
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("[matmul] b: want (3, 5) fp32, got (4, 5) fp32"),
              std::string::npos)
        << e.what();
  }
  Tensor c({3, 5}, DType::fp32);
  EXPECT_THROW(
      matmul({.a = a.view(), .b = c.view(), .out = half.view(), .accumulate = true}, Stream(team)),
      Error);
}

}  // namespace
}  // namespace tw
