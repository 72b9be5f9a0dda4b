#include "src/nn/picture_coder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "src/core/rng.h"
#include "src/core/thread_team.h"

namespace tw {
namespace {

template <class View>
auto all_of(View view) { return std::span(view.template as<float>(), size_t(view.count())); }

// What a number is before it is rounded (arXiv:2309.15505, appendix A.1), over its half width.
double bounded(double number, int levels) {
  const double half = (levels - 1) * 1.001 / 2, offset = levels % 2 ? 0 : 0.5;
  return (std::tanh(number + std::atanh(offset / half)) * half - offset) / (levels / 2);
}

TEST(FiniteScalars, EveryCodeIsReachedAndComesBack) {
  for (const std::vector<int>& levels : {std::vector{8, 5, 5, 5}, std::vector{2}, std::vector{3, 2, 7}}) {
    const FiniteScalars scalars(levels);
    const auto d = size_t(scalars.dimension());
    std::vector<float> values(d), numbers(d), again(d);
    for (int32_t code = 0; code < scalars.codes(); ++code) {
      scalars.values_of(code, values);
      ASSERT_EQ(scalars.code_of(values), code);
      for (size_t k = 0; k < d; ++k) {
        ASSERT_LE(std::abs(values[k]), 1);
        // The number whose bounded form lies nearest to the level, by bisection.
        double low = -20, high = 20;
        for (int i = 0; i < 60; ++i) (bounded((low + high) / 2, levels[k]) < double(values[k]) ? low : high) = (low + high) / 2;
        numbers[k] = float(low);
      }
      scalars.quantise(numbers, again);
      ASSERT_EQ(again, values) << code;
    }
  }
  EXPECT_EQ(FiniteScalars({8, 5, 5, 5}).codes(), 1000);
}

TEST(FiniteScalars, RoundsToTheNearestLevelAndPassesGradientsStraightThrough) {
  const std::vector<int> levels = {8, 5};
  const FiniteScalars scalars(levels);
  const Rng random{.seed = 3, .stream = RngStream::test};
  std::vector<float> numbers, dvalues, values(400), dnumbers(400);
  for (size_t i = 0; i < 400; ++i) numbers.push_back(2 * random.normal(i)), dvalues.push_back(random.normal(1000 + i));
  scalars.quantise(numbers, values);
  scalars.backward(numbers, dvalues, dnumbers);
  for (size_t i = 0; i < 400; ++i) {
    const int n = levels[i % 2];
    const double x = double(numbers[i]), h = 1e-5;
    EXPECT_LE(std::abs(double(values[i]) - bounded(x, n)), 0.5 / (n / 2) + 1e-3) << x;
    EXPECT_NEAR(double(dnumbers[i]), double(dvalues[i]) * (bounded(x + h, n) - bounded(x - h, n)) / (2 * h), 1e-4) << x;
  }
  std::vector<float> wild = {std::numeric_limits<float>::quiet_NaN(), INFINITY}, of(2);
  scalars.quantise(wild, of);
  EXPECT_EQ(of, (std::vector<float>{-1, 1})) << "what is no number is a code as well";
  EXPECT_THROW(FiniteScalars({}), Error);
  EXPECT_THROW(FiniteScalars({1}), Error);
  EXPECT_THROW(FiniteScalars(std::vector<int>(16, 64)), Error);
}

struct Pass {
  explicit Pass(PictureCoderConfig c, int threads = 1)
      : config(std::move(c)), table(picture_coder_parameters(config)), weights({table.flat_count()}, DType::fp32), gradients({table.flat_count()}, DType::fp32), team(threads), stream(team),
        scalars(config.levels), coder(config, table, weights.view(), gradients.view(), 3, 8, 12) {
    initialize_picture_coder(table, 5, weights.view());
    const Rng random{.seed = 1, .stream = RngStream::test};
    for (size_t i = 0; i < all_of(coder.pixels()).size(); ++i) all_of(coder.pixels())[i] = std::sin(random.normal(i));
  }
  PictureCoderConfig config;
  ParameterTable table;
  Tensor weights, gradients;
  ThreadTeam team;
  Stream stream;
  FiniteScalars scalars;
  PictureCoder coder;
};
const PictureCoderConfig kSmall = {.channels = 3, .wide = 6, .narrow = 5, .blocks = 2, .narrow_blocks = 1, .levels = {4, 3}};

// Along random directions of all parameters. What backward calls the gradient is that of a network whose middle is not rounded, but moved to
// where rounding had put it.
TEST(PictureCoder, GradientsEqualFiniteDifferences) {
  Pass p(kSmall);
  p.coder.encode(p.stream);
  const std::vector<float> start(all_of(p.coder.numbers()).begin(), all_of(p.coder.numbers()).end());
  p.scalars.quantise(all_of(p.coder.numbers()), all_of(p.coder.values()));
  const std::vector<float> rounded(all_of(p.coder.values()).begin(), all_of(p.coder.values()).end());
  p.coder.decode(p.stream);
  Tensor dmade(p.coder.made().shape, DType::fp32);
  const Rng random{.seed = 2, .stream = RngStream::test};
  std::vector<double> weighted(size_t(dmade.count()));
  for (size_t i = 0; i < weighted.size(); ++i) weighted[i] = double(dmade.as<float>()[i] = random.normal(i) / 10);
  p.coder.backward(dmade.view(), p.scalars, p.stream);
  const std::vector<float> before(all_of(p.weights.view()).begin(), all_of(p.weights.view()).end());
  const auto loss = [&](const std::vector<double>& direction, double step) {
    for (size_t i = 0; i < before.size(); ++i) p.weights.as<float>()[i] = float(double(before[i]) + step * direction[i]);
    p.coder.encode(p.stream);
    for (size_t i = 0; i < start.size(); ++i) {
      const int levels = kSmall.levels[i % kSmall.levels.size()];
      all_of(p.coder.values())[i] = float(double(rounded[i]) + bounded(double(all_of(p.coder.numbers())[i]), levels) - bounded(double(start[i]), levels));
    }
    p.coder.decode(p.stream);
    double sum = 0;
    for (size_t i = 0; i < weighted.size(); ++i) sum += weighted[i] * double(all_of(p.coder.made())[i]);
    return sum;
  };
  // Each parameter by itself, then all together.
  for (size_t which = 0; which <= p.table.all().size(); ++which) {
    std::vector<double> direction(before.size());
    double want = 0;
    for (size_t k = 0; k < p.table.all().size(); ++k) {
      if (which < p.table.all().size() && which != k) continue;
      const ParameterInfo& info = p.table.all()[k];
      for (int64_t i = info.offset; i < info.offset + info.count(); ++i) {
        direction[size_t(i)] = double(Rng{.seed = 7, .stream = RngStream::test}.normal(uint64_t(i)));
        want += direction[size_t(i)] * double(p.gradients.as<float>()[i]);
      }
    }
    const double h = 2e-3, got = (loss(direction, h) - loss(direction, -h)) / (2 * h);
    EXPECT_NEAR(got, want, 2e-3 * std::abs(want) + 3e-3) << (which < p.table.all().size() ? p.table.all()[which].name : "all");
    EXPECT_NE(want, 0);
  }
}

// A pass that keeps nothing, on other threads, with other pictures beside, gives the same bits.
TEST(PictureCoder, WithoutGradientsThePassIsTheSame) {
  Pass p(kSmall);
  p.coder.encode(p.stream);
  p.scalars.quantise(all_of(p.coder.numbers()), all_of(p.coder.values()));
  p.coder.decode(p.stream);
  ThreadTeam team(3);
  const PictureCoder one(p.config, p.table, p.weights.view(), View{}, 1, 8, 12);
  for (int64_t i = 0; i < 3; ++i) {
    std::memcpy(one.pixels().data, p.coder.pixels().rows(i, i + 1).data, one.pixels().bytes());
    one.encode(Stream(team));
    EXPECT_EQ(std::memcmp(one.numbers().data, p.coder.numbers().rows(i, i + 1).data, one.numbers().bytes()), 0);
    std::memcpy(one.values().data, p.coder.values().rows(i, i + 1).data, one.values().bytes());
    one.decode(Stream(team));
    EXPECT_EQ(std::memcmp(one.made().data, p.coder.made().rows(i, i + 1).data, one.made().bytes()), 0);
  }
}

TEST(PictureCoder, WhatIsNoNetworkIsNamed) {
  PictureCoderConfig c = kSmall;
  c.channels = 2;
  EXPECT_THROW(picture_coder_parameters(c), Error);
  c = kSmall, c.wide = 0;
  EXPECT_THROW(picture_coder_parameters(c), Error);
  c = kSmall, c.blocks = 17;
  EXPECT_THROW(picture_coder_parameters(c), Error);
  c = kSmall, c.levels = {};
  EXPECT_THROW(picture_coder_parameters(c), Error);
}

}  // namespace
}  // namespace tw
