#include "src/nn/parameters.h"
#include "src/nn/vocabulary_growth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "kernels/optimizer.h"
#include "src/core/thread_team.h"
#include "src/nn/initialize.h"
#include "tests/nn/small_model.h"

namespace tw {
namespace {

TEST(ParameterTable, GpT2_124mHasItsPublishedSize) {
  ModelConfig m;
  m.type = Architecture::gpt2;
  m.vocab_size = 50257, m.make_vocab_size_divisible_by = 1, m.hidden_size = 768, m.intermediate_size = 3072;
  m.num_hidden_layers = 12, m.num_attention_heads = m.num_key_value_heads = 12, m.head_dim = 64;
  m.max_position_embeddings = 1024;
  EXPECT_EQ(ParameterTable(m).parameter_count(), 124439808);  // Hugging Face "gpt2", num_parameters()
}

TEST(ParameterTable, OffsetsAreBlocksAndDoNotOverlap) {
  const ParameterTable table(small_config(Architecture::gpt2, false));
  int64_t next = 0;
  for (const auto& p : table.all()) {
    EXPECT_EQ(p.offset % kParameterBlock, 0) << p.name;
    EXPECT_GE(p.offset, next) << p.name;
    next = p.offset + p.count();
    EXPECT_EQ(p.decayed, p.shape.rank() >= 2) << p.name;
  }
  EXPECT_GE(table.flat_count(), next);
  EXPECT_THROW(table["layers.9.nothing"], Error);
}

TEST(InitializeWeights, FollowsTheRulesAndNotTheThreads) {
  ModelConfig model = small_config(Architecture::gpt2, true);
  model.hidden_size = 64, model.intermediate_size = 256, model.head_dim = 16;
  const ParameterTable table(model);
  ThreadTeam one(1), three(3);
  Tensor a({table.flat_count()}, DType::fp32), b({table.flat_count()}, DType::fp32), c({table.flat_count()}, DType::fp32);
  initialize_weights(model, table, 5, 0, a.view(), Stream(one));
  initialize_weights(model, table, 5, 0, b.view(), Stream(three));
  initialize_weights(model, table, 6, 0, c.view(), Stream(one));
  EXPECT_EQ(0, std::memcmp(a.as<float>(), b.as<float>(), size_t(a.count()) * 4));
  EXPECT_NE(0, std::memcmp(a.as<float>(), c.as<float>(), size_t(a.count()) * 4));
  // In pieces that end within parameters, into memory that was used before.
  for (int64_t first = 0, piece = 3 * kParameterBlock; first < c.count(); first += piece)
    initialize_weights(model, table, 5, first, c.view().flat(first, std::min(first + piece, c.count())), Stream(three));
  EXPECT_EQ(0, std::memcmp(a.as<float>(), c.as<float>(), size_t(a.count()) * 4));
  const auto deviation = [&](const char* name, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; ++i) s += std::pow(double(a.as<float>()[table[name].offset + i]), 2);
    return std::sqrt(s / double(n));
  };
  EXPECT_NEAR(deviation("layers.0.mlp.up.weight", 64 * 256), 0.02, 0.001);
  EXPECT_NEAR(deviation("layers.1.mlp.down.weight", 64 * 256), 0.02 / std::sqrt(4.0), 0.0005);
  EXPECT_EQ(deviation("layers.0.mlp.up.bias", 256), 0);
  EXPECT_EQ(deviation("final_norm.weight", 64), 1);
  const float* padding = a.as<float>() + table["tokens.weight"].offset + model.vocab_size * 64;
  for (int64_t i = 0; i < (model.padded_vocab_size() - model.vocab_size) * 64; ++i) ASSERT_EQ(padding[i], 0);
}

TEST(ModelConfig, JsonRoundTripAndDamage) {
  const ModelConfig m = small_config(Architecture::llama, false);
  EXPECT_EQ(model_config_from_json(to_json(m)), m);
  auto j = to_json(m);
  j["hidden_size"] = "wide";
  EXPECT_THROW(model_config_from_json(j), Error);
  j = to_json(m);
  j.erase("rope_theta");
  EXPECT_THROW(model_config_from_json(j), Error);
  for (const auto& [key, value] : {std::pair<const char*, nlohmann::json>{"type", "bert"}, {"num_key_value_heads", 3}, {"vocab_size", -1}}) {
    j = to_json(m);
    j[key] = value;
    try {
      model_config_from_json(j);
      ADD_FAILURE() << key;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
    }
  }
  EXPECT_THROW(model_config_from_json(nlohmann::json::parse("{", nullptr, false)), Error);
}

TEST(ModelConfig, ImpossibleSettingsAreNamed) {
  ModelConfig m = small_config(Architecture::llama, false);
  m.num_key_value_heads = 3;
  try {
    m.check();
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("num_key_value_heads"), std::string::npos);
    EXPECT_EQ(e.code(), ExitCode::config);
  }
}

TEST(Vocabulary, GrowsByTheMeanOfWhatIsThere) {
  for (const bool tied : {true, false}) {
    ModelConfig m;
    m.type = Architecture::llama;
    m.vocab_size = 5, m.make_vocab_size_divisible_by = 8, m.hidden_size = 4, m.intermediate_size = 8, m.num_hidden_layers = 1, m.num_attention_heads = 2, m.num_key_value_heads = 1;
    m.head_dim = 2, m.max_position_embeddings = 8, m.hidden_act = "silu", m.tie_word_embeddings = tied;
    const ParameterTable table(m);
    Tensor weights({table.flat_count()}, DType::fp32);
    for (int64_t i = 0; i < table.flat_count(); ++i) weights.as<float>()[i] = float(i % 97);
    for (const int64_t vocab : {5, 7, 8, 20}) {
      const GrownModel grown = grow_vocabulary(m, weights.view(), vocab);
      const ParameterTable after(grown.model);
      EXPECT_EQ(grown.model.vocab_size, vocab);
      ASSERT_EQ(grown.weights.shape()[0], after.flat_count());
      for (const ParameterInfo& from : table.all()) {
        const bool rows = from.name == "tokens.weight" || from.name == "head.weight";
        const float *old = weights.as<float>() + from.offset, *now = grown.weights.as<float>() + after[from.name].offset;
        for (int64_t i = 0; i < (rows ? 5 * 4 : from.count()); ++i) ASSERT_EQ(now[i], old[i]) << from.name;
        for (int64_t i = 5 * 4; rows && i < after[from.name].count(); ++i) {
          const int64_t c = i % 4;
          const float mean = (old[c] + old[4 + c] + old[8 + c] + old[12 + c] + old[16 + c]) / 5;
          ASSERT_FLOAT_EQ(now[i], i / 4 < vocab ? mean : 0) << "padding stays zero";
        }
      }
    }
  }
}

}  // namespace
}  // namespace tw
