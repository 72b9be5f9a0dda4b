#include "kernels/conv2d.h"

#include "tests/kernels/op_test.h"

namespace tw {
namespace {

using Convolution = OpTest;
INSTANTIATE_TEST_SUITE_P(Ops, Convolution, op_levels({DType::fp32}), op_level_name);

struct Case {
  int64_t B, H, W, C, O, R, S;
  int stride, padding;
  int64_t I() const { return (H + 2 * padding - R) / stride + 1; }
  int64_t J() const { return (W + 2 * padding - S) / stride + 1; }
  Shape x() const { return {B, H, W, C}; }
  Shape y() const { return {B, I(), J(), O}; }
  Shape weight() const { return {O, R, S, C}; }
};
// One pixel, odd sides, more channels than a panel holds, rows and columns that a stride leaves over, more than one item of work, more
// pixels than are summed in one go.
const Case kCases[] = {{1, 1, 1, 1, 1, 1, 1, 1, 0},  {1, 3, 5, 2, 3, 3, 3, 1, 1},   {2, 7, 7, 33, 37, 3, 3, 1, 1},  {3, 8, 6, 3, 16, 4, 4, 2, 1}, {2, 7, 9, 5, 4, 2, 2, 2, 0},
                       {1, 9, 8, 2, 3, 3, 2, 3, 1},  {1, 5, 5, 70, 20, 1, 1, 1, 0}, {5, 12, 11, 34, 6, 3, 3, 1, 1}, {1, 4, 4, 40, 1, 4, 4, 1, 3},
                       {17, 8, 8, 3, 5, 3, 3, 1, 1}, {1, 6, 7, 4, 3, 2, 2, 3, 1}};

// sum over every pixel, place and channel that meet: visit(y's index, x's index, weight's index).
template <class Visit>
void for_products(const Case& c, Visit visit) {
  for (int64_t b = 0; b < c.B; ++b)
    for (int64_t i = 0; i < c.I(); ++i)
      for (int64_t j = 0; j < c.J(); ++j)
        for (int64_t r = 0; r < c.R; ++r)
          for (int64_t s = 0; s < c.S; ++s) {
            const int64_t h = i * c.stride - c.padding + r, w = j * c.stride - c.padding + s;
            if (h < 0 || h >= c.H || w < 0 || w >= c.W) continue;
            for (int64_t o = 0; o < c.O; ++o)
              for (int64_t k = 0; k < c.C; ++k)
                visit(size_t(((b * c.I() + i) * c.J() + j) * c.O + o), size_t(((b * c.H + h) * c.W + w) * c.C + k), size_t(((o * c.R + r) * c.S + s) * c.C + k));
          }
}
std::vector<double> convolved(const Case& c, const std::vector<double>& x, const std::vector<double>& weight) {
  std::vector<double> y(size_t(c.y().count()));
  for_products(c, [&](size_t at, size_t from, size_t place) { y[at] += x[from] * weight[place]; });
  return y;
}

TEST_P(Convolution, EqualsTheDefinition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.x().str() + " * " + c.weight().str());
    const Tensor x = normal(c.x(), DType::fp32, 1), weight = normal(c.weight(), DType::fp32, 2), bias = normal({c.O}, DType::fp32, 3);
    std::vector<double> want = convolved(c, values(x), values(weight)), plain = want;
    for (size_t i = 0; i < want.size(); ++i) want[i] += values(bias)[i % size_t(c.O)];
    const auto got = on_threads({{c.y()}, {c.y()}}, [&](const Stream& s, const std::vector<View>& out) {
      conv2d({.x = x.view(), .weight = weight.view(), .bias = bias.view(), .y = out[0], .stride = c.stride, .padding = c.padding}, s);
      conv2d({.x = x.view(), .weight = weight.view(), .bias = {}, .y = out[1], .stride = c.stride, .padding = c.padding}, s);
    });
    expect_near(got[0], want, 2e-4, 2e-6, "y");
    expect_near(got[1], plain, 2e-4, 2e-6, "y without a bias");
  }
}

TEST_P(Convolution, TheTransposedOneEqualsTheDefinition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.x().str() + " * " + c.weight().str());
    const Tensor y = normal(c.y(), DType::fp32, 1), weight = normal(c.weight(), DType::fp32, 2), bias = normal({c.C}, DType::fp32, 3);
    const std::vector<double> from = values(y), kernel = values(weight);
    std::vector<double> plain(size_t(c.x().count()));
    for_products(c, [&](size_t at, size_t to, size_t place) { plain[to] += from[at] * kernel[place]; });
    std::vector<double> want = plain;
    for (size_t i = 0; i < want.size(); ++i) want[i] += values(bias)[i % size_t(c.C)];
    const auto got = on_threads({{c.x()}, {c.x()}}, [&](const Stream& s, const std::vector<View>& out) {
      conv2d_transpose({.y = y.view(), .weight = weight.view(), .bias = bias.view(), .x = out[0], .stride = c.stride, .padding = c.padding}, s);
      conv2d_transpose({.y = y.view(), .weight = weight.view(), .bias = {}, .x = out[1], .stride = c.stride, .padding = c.padding}, s);
    });
    expect_near(got[0], want, 2e-4, 2e-6, "x");
    expect_near(got[1], plain, 2e-4, 2e-6, "x without a bias");
  }
}

TEST_P(Convolution, WeightGradientEqualsTheDefinition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.x().str() + " * " + c.weight().str());
    const Tensor x = normal(c.x(), DType::fp32, 1), dy = normal(c.y(), DType::fp32, 2), before = normal(c.weight(), DType::fp32, 3);
    const std::vector<double> from = values(x), d = values(dy);
    std::vector<double> want = values(before);
    for_products(c, [&](size_t at, size_t source, size_t place) { want[place] += d[at] * from[source]; });
    const auto got = on_threads({{c.weight(), DType::fp32, &before}}, [&](const Stream& s, const std::vector<View>& out) {
      conv2d_weight_gradient({.x = x.view(), .dy = dy.view(), .dweight = out[0], .stride = c.stride, .padding = c.padding}, s);
    });
    expect_near(got[0], want, 3e-4, 4e-6, "dweight");
  }
}

// Of the loss sum dy * y, by central differences of the definition in double.
TEST_P(Convolution, GradientsEqualFiniteDifferences) {
  const Case c{2, 5, 4, 3, 2, 3, 3, 2, 1};
  const Tensor x = normal(c.x(), DType::fp32, 1), weight = normal(c.weight(), DType::fp32, 2), dy = normal(c.y(), DType::fp32, 3), zero = from_values(c.weight(), DType::fp32, {});
  std::vector<double> at = values(x), kernel = values(weight), d = values(dy);
  const auto loss = [&](const std::vector<double>&) {
    double sum = 0;
    const std::vector<double> y = convolved(c, at, kernel);
    for (size_t i = 0; i < y.size(); ++i) sum += d[i] * y[i];
    return sum;
  };
  std::vector<double> dx, dweight;
  for (size_t i = 0; i < at.size(); ++i) dx.push_back(slope(loss, at, i));
  for (size_t i = 0; i < kernel.size(); ++i) dweight.push_back(slope(loss, kernel, i));
  const auto got = on_threads({{c.x()}, {c.weight(), DType::fp32, &zero}}, [&](const Stream& s, const std::vector<View>& out) {
    conv2d_transpose({.y = dy.view(), .weight = weight.view(), .bias = {}, .x = out[0], .stride = c.stride, .padding = c.padding}, s);
    conv2d_weight_gradient({.x = x.view(), .dy = dy.view(), .dweight = out[1], .stride = c.stride, .padding = c.padding}, s);
  });
  expect_near(got[0], dx, 1e-5, 1e-5, "dx");
  expect_near(got[1], dweight, 1e-5, 1e-5, "dweight");
}

// The bits of a picture's sums do not depend on what stands beside it in the batch.
TEST_P(Convolution, APictureIsTheSameInAnyBatch) {
  const Case c{9, 7, 7, 33, 37, 3, 3, 1, 1};
  const Tensor x = normal(c.x(), DType::fp32, 1), y = normal(c.y(), DType::fp32, 2), weight = normal(c.weight(), DType::fp32, 3);
  const auto run = [&](int64_t begin, int64_t end) {
    return on_threads({{{end - begin, c.I(), c.J(), c.O}}, {{end - begin, c.H, c.W, c.C}}}, [&](const Stream& s, const std::vector<View>& out) {
      conv2d({.x = x.view().rows(begin, end), .weight = weight.view(), .bias = {}, .y = out[0], .stride = 1, .padding = 1}, s);
      conv2d_transpose({.y = y.view().rows(begin, end), .weight = weight.view(), .bias = {}, .x = out[1], .stride = 1, .padding = 1}, s);
    });
  };
  const auto all = run(0, 9), one = run(4, 5);
  for (size_t i = 0; i < 2; ++i) {
    const size_t n = one[i].size();
    EXPECT_EQ(one[i], std::vector<double>(all[i].begin() + std::ptrdiff_t(4 * n), all[i].begin() + std::ptrdiff_t(5 * n)));
  }
}

TEST(ConvolutionShapes, WrongOnesAreNamed) {
  ThreadTeam team(1);
  const Stream s(team);
  Tensor x({2, 4, 4, 3}, DType::fp32), y({2, 4, 4, 5}, DType::fp32), weight({5, 3, 3, 3}, DType::fp32), half({2, 4, 4, 3}, DType::bf16), row({4}, DType::fp32);
  expect_refused([&] { conv2d({.x = x.view(), .weight = weight.view(), .bias = {}, .y = y.view(), .stride = 1, .padding = 0}, s); }, "[conv2d] y: want (2, 2, 2, 5) fp32");
  expect_refused([&] { conv2d({.x = half.view(), .weight = weight.view(), .bias = {}, .y = y.view(), .stride = 1, .padding = 1}, s); }, "[conv2d] x: want (2, 4, 4, 3) fp32");
  expect_refused([&] { conv2d({.x = x.view(), .weight = weight.view(), .bias = row.view(), .y = y.view(), .stride = 1, .padding = 1}, s); }, "[conv2d] bias: want (5) fp32");
  expect_refused([&] { conv2d({.x = x.view(), .weight = weight.view(), .bias = {}, .y = y.view(), .stride = 1, .padding = 3}, s); }, "a padding of 3");
  expect_refused([&] { conv2d_transpose({.y = x.view(), .weight = weight.view(), .bias = {}, .x = x.view(), .stride = 1, .padding = 1}, s); }, "[conv2d_transpose] y: want (2, 4, 4, 5)");
  expect_refused([&] { conv2d_weight_gradient({.x = x.view(), .dy = y.view(), .dweight = y.view(), .stride = 1, .padding = 1}, s); }, "[conv2d_weight_gradient] dweight: want");
}

}  // namespace
}  // namespace tw
