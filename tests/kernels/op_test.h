// What the tests of ops share: random inputs, poisoned outputs, every instruction set, 1 to 3 threads. The same tests run on
// a GPU (tests/support/test_device.h).
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cpu/simd.h"
#include "src/core/rng.h"
#include "src/core/tensor.h"
#include "tests/support/test_device.h"

namespace tw {

inline Tensor from_values(Shape shape, DType dtype, const std::vector<double>& v) {
  Tensor x = tensor(shape, dtype);
  for (size_t i = 0; i < v.size(); ++i) {
    if (dtype == DType::fp32) x.as<float>()[i] = float(v[i]);
    else if (dtype == DType::bf16) x.as<bf16>()[i] = bf16(float(v[i]));
    else if (dtype == DType::fp16) x.as<fp16>()[i] = fp16(float(v[i]));
    else if (dtype == DType::i32) x.as<int32_t>()[i] = int32_t(v[i]);
    else x.as<uint8_t>()[i] = uint8_t(v[i]);
  }
  return x;
}
inline Tensor normal(Shape shape, DType dtype, uint32_t stream, double scale = 1, double mean = 0) {
  const Rng rng{.seed = 5, .stream = RngStream::test, .a = stream};
  std::vector<double> v(static_cast<size_t>(shape.count()));
  for (size_t i = 0; i < v.size(); ++i) v[i] = mean + scale * double(rng.normal(i));
  return from_values(shape, dtype, v);
}
inline Tensor poisoned(Shape shape, DType dtype) {
  Tensor x = tensor(shape, dtype);
  std::memset(x.view().data, 0xff, x.view().bytes());  // NaN in every floating type
  return x;
}
inline std::vector<double> values(const ConstView& x) {
  std::vector<double> v(static_cast<size_t>(x.count()));
  for (size_t i = 0; i < v.size(); ++i) {
    v[i] = x.dtype == DType::fp32   ? double(x.as<float>()[i])
           : x.dtype == DType::fp64 ? x.as<double>()[i]
           : x.dtype == DType::bf16 ? double(float(x.as<bf16>()[i]))
           : x.dtype == DType::fp16 ? double(float(x.as<fp16>()[i]))
           : x.dtype == DType::i64  ? double(x.as<int64_t>()[i])
                                    : double(x.as<int32_t>()[i]);
  }
  return v;
}
inline std::vector<double> values(const Tensor& x) { return values(x.view()); }

// Every element within absolute + relative * |want|; NaN fails.
inline void expect_near(const std::vector<double>& got, const std::vector<double>& want, double absolute,
                        double relative, const char* what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(got[i] - want[i]) <= absolute + relative * std::abs(want[i])))
      FAIL() << what << "[" << i << "]: got " << got[i] << ", want " << want[i];
}

// An output of an op: NaN before the call, or the values of `start` where the op reads it too.
struct Output {
  Shape shape;
  DType dtype = DType::fp32;
  const Tensor* start = nullptr;
};
// body(stream, views of the outputs) on 1, 2 and 3 threads, or as often on a GPU: the bits must be equal, and nothing may be written beyond
// an output's end. Returns the outputs' values.
template <class Body>
std::vector<std::vector<double>> on_threads(const std::vector<Output>& outputs, Body body) {
  constexpr int64_t kGuard = 64;  // elements behind an output that must stay as they are
  std::vector<std::vector<double>> result;
  std::vector<Tensor> first;
  for (int threads : {1, 2, 3}) {
    std::vector<Tensor> memory;
    std::vector<View> views;
    for (const Output& o : outputs) {
      memory.push_back(poisoned({o.shape.count() + kGuard}, o.dtype));
      views.push_back(memory.back().view().flat(0, o.shape.count()).reshape(o.shape));
      if (o.start) std::memcpy(views.back().data, o.start->view().data, views.back().bytes());
    }
    const OpStream stream(threads);
    body(stream, std::as_const(views));
    stream.finish();
    for (size_t i = 0; i < outputs.size(); ++i) {
      const char* guard = static_cast<const char*>(views[i].data) + views[i].bytes();
      for (size_t b = 0; b < size_t(kGuard) * size_of(outputs[i].dtype); ++b)
        if (guard[b] != char(0xff)) ADD_FAILURE() << "output " << i << " is written " << b << " bytes behind its end";
      if (threads == 1) result.push_back(values(views[i]));
      else EXPECT_EQ(std::memcmp(views[i].data, first[i].view().data, views[i].bytes()), 0)
          << "output " << i << " differs with " << threads << " threads";
    }
    if (threads == 1) first = std::move(memory);
  }
  return result;
}

// The derivative of f at x[i], by a central difference in double.
template <class F>
double slope(F f, std::vector<double>& x, size_t i, double h = 1e-5) {
  const double at = x[i];
  x[i] = at + h;
  const double above = f(x);
  x[i] = at - h;
  const double below = f(x);
  x[i] = at;
  return (above - below) / (2 * h);
}

// The call must throw an error that says `text`.
template <class Call>
void expect_refused(Call call, const std::string& text) {
  try {
    call();
    ADD_FAILURE() << "accepted: " << text;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
  }
}

// Runs a test on each instruction set this CPU has, in each type of activations; on a GPU the level means nothing.
class OpTest : public testing::TestWithParam<std::tuple<cpu::SimdLevel, DType>> {
 protected:
  void SetUp() override {
    const cpu::SimdLevel level = std::get<0>(GetParam());
    if (!kOnGpu && cpu::best_simd_level() < level) GTEST_SKIP() << "this CPU has no such instructions";
    cpu::limit_simd_level(level);
  }
  void TearDown() override { cpu::limit_simd_level(cpu::SimdLevel::v4); }
  DType dtype() const { return std::get<1>(GetParam()); }
  bool narrow() const { return dtype() == DType::bf16; }
  double rounding() const { return narrow() ? 0x1p-8 : 0; }  // relative error of storing a result, doubled
};
inline std::vector<cpu::SimdLevel> test_levels() {
  if (kOnGpu) return {cpu::SimdLevel::v4};
  return {cpu::SimdLevel::v1, cpu::SimdLevel::v3, cpu::SimdLevel::v4};
}
inline std::string level_name(cpu::SimdLevel level) { return kOnGpu ? "Gpu" : "V" + std::to_string(int(level)); }
inline auto op_levels(std::vector<DType> types = {DType::fp32, DType::bf16}) {
  return testing::Combine(testing::ValuesIn(test_levels()), testing::ValuesIn(types));
}
inline std::string op_level_name(const testing::TestParamInfo<OpTest::ParamType>& info) {
  return std::string(name_of(std::get<1>(info.param))) + level_name(std::get<0>(info.param));
}

}  // namespace tw
