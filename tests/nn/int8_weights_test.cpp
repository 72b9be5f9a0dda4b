#include "src/nn/int8_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/int8_matmul.h"
#include "src/nn/decoder.h"
#include "tests/nn/small_model.h"

namespace tw {
namespace {

// Flat weights in fp32 that are, number for number, those in 8 bits.
Tensor as_floats(const ParameterTable& table, const Int8Weights& int8) {
  Tensor flat({table.flat_count()}, DType::fp32);
  for (const ParameterInfo& p : table.all()) {
    const Parameter v = int8(p.name);
    for (int64_t i = 0; i < p.count(); ++i) {
      if (!v.scales) {
        flat.as<float>()[p.offset + i] = v.value.as<float>()[i];
        continue;
      }
      const int64_t n = i / p.shape[1], k = i % p.shape[1];
      flat.as<float>()[p.offset + i] = float(v.value.as<int8_t>()[n * v.value.dim(1) + k]) *
                                       float(v.scales.as<bf16>()[n * v.scales.dim(1) + k / kInt8Group]);
    }
  }
  return flat;
}

TEST(Int8Weights, AModelComputesWithThem) {
  if (kOnGpu) GTEST_SKIP() << "of a CPU";
  for (const Architecture type : {Architecture::gpt2, Architecture::llama})
    for (const bool tied : {true, false}) {
      const ModelConfig model = small_config(type, tied);
      const int64_t B = 2, T = 11, V = model.padded_vocab_size();
      SmallModel m(model, B, T, 1, false);
      const Int8Weights int8(m.table, m.weights.view(), DType::fp32, m.stream);
      EXPECT_EQ(bool(int8("tokens.weight").scales), true);
      EXPECT_EQ(bool(int8("final_norm.weight").scales), false);
      m.weights = as_floats(m.table, int8);
      m.transformer.bind(m.arena, m.table, m.weights.view(), View{}, m.stream);
      const auto ids = random_ids(B * T, model.vocab_size, 3), targets = random_ids(B * T, model.vocab_size, 4);
      const double want = m.loss(ids, targets);
      // All at once (many rows), and token by token.
      m.transformer.bind(m.arena, m.table, int8, View{}, m.stream);
      EXPECT_NEAR(m.loss(ids, targets), want, 1e-4 * want) << name_of(type) << tied;
      Decoder plain(model, m.table, m.weights.view(), B, 1, T, m.stream), quantized(model, m.table, int8, B, 1, T, m.stream);
      Tensor a({B, V}, DType::fp32), b({B, V}, DType::fp32);
      for (int64_t t = 0; t < T; ++t) {
        const std::vector<int32_t> now = {ids[size_t(t)], ids[size_t(T + t)]};
        plain.forward(ConstView(now.data(), DType::i32, {B, 1}), a.view(), true, m.stream);
        quantized.forward(ConstView(now.data(), DType::i32, {B, 1}), b.view(), true, m.stream);
        for (int64_t i = 0; i < B * V; ++i)
          EXPECT_NEAR(a.as<float>()[i], b.as<float>()[i], 2e-3) << name_of(type) << tied << " position " << t;
      }
    }
}

TEST(Int8Weights, TakeHalfOfBf16) {
  if (kOnGpu) GTEST_SKIP() << "of a CPU";
  ModelConfig model = small_config(Architecture::llama, true);
  model.hidden_size = 128, model.intermediate_size = 256, model.vocab_size = 1000;
  const ParameterTable table(model);
  ThreadTeam team(2);
  const Tensor weights = random_weights(model, table, 1);
  const Int8Weights int8(table, weights.view(), DType::bf16, Stream(team));
  EXPECT_EQ(int8.dtype(), DType::bf16);
  EXPECT_NEAR(double(int8.bytes()) / (2 * double(table.parameter_count())), 0.52, 0.03);
}

TEST(Int8Weights, BadOnesAreRefused) {
  const ModelConfig model = small_config(Architecture::gpt2, true);
  const ParameterTable table(model);
  ThreadTeam team(1);
  Tensor weights({table.flat_count()}, DType::fp32);
  weights.as<float>()[table["layers.1.mlp.down.weight"].offset + 5] = std::numeric_limits<float>::quiet_NaN();
  try {
    const Int8Weights int8(table, weights.view(), DType::fp32, Stream(team));
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_NE(std::string(e.what()).find("layers.1.mlp.down.weight"), std::string::npos) << e.what();
  }
  EXPECT_THROW(quantization_named("int4"), Error);
  if (!kOnGpu) return;
  const OpStream stream;
  try {
    const Int8Weights int8(table, weights.view(), DType::fp32, stream);
    FAIL() << "accepted on a GPU";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
  }
}

}  // namespace
}  // namespace tw
