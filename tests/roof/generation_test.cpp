// Tokens of a tiny model, op by op.
#include "src/roof/generation.h"

#include <gtest/gtest.h>

#include "src/core/thread_team.h"

namespace tw {
namespace {

ModelConfig tiny(Architecture type, bool tied) {
  ModelConfig m;
  m.type = type, m.vocab_size = 61, m.hidden_size = 64, m.intermediate_size = 128, m.num_hidden_layers = 3;
  m.num_attention_heads = 2, m.num_key_value_heads = 2, m.head_dim = 32, m.max_position_embeddings = 20;
  m.hidden_act = type == Architecture::gpt2 ? "gelu_new" : "silu";
  m.tie_word_embeddings = tied;
  return m;
}

double calls_of(const StepTimes& t, const std::string& op) {
  double calls = 0;
  for (const OpRow& r : t.rows)
    if (r.op == op) calls += r.calls;
  return calls;
}

TEST(Generation, ATokenReadsEachMatrixOnce) {
  ThreadTeam team(2);
  for (const bool tied : {true, false})
    for (const Quantization quantization : {Quantization::none, Quantization::int8}) {
      const ModelConfig model = tiny(Architecture::llama, tied);
      const GenerationReport r = measure_generation(model, Stream(team), {.tokens = 5, .dtype = DType::bf16, .quantization = quantization});
      const bool int8 = quantization == Quantization::int8;
      EXPECT_EQ(calls_of(r.ops, "matmul"), int8 ? 0 : 4 * 3 + 1);
      EXPECT_EQ(calls_of(r.ops, "int8_matmul"), int8 ? 4 * 3 + 1 : 0);
      EXPECT_EQ(calls_of(r.ops, "attention_decode"), 3);
      EXPECT_EQ(calls_of(r.ops, "pick_token"), 1);
      const double read = 3 * (64.0 * 192 + 64 * 64 + 3 * 64 * 128) + 64 * 64;  // padded vocabulary of 64
      EXPECT_EQ(r.read_bytes, read * (int8 ? 1 + 2.0 / 64 : 2));
      EXPECT_EQ(r.token.repeats, 5);
      EXPECT_GT(r.read_rate, 0);
    }
}

TEST(Generation, TooManyTokensAreRefused) {
  ThreadTeam team(1);
  EXPECT_THROW(measure_generation(tiny(Architecture::gpt2, true), Stream(team), {.tokens = 7}), Error);
}

}  // namespace
}  // namespace tw
