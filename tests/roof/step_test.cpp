// A tiny model's steps, op by op.
#include "src/roof/step.h"

#include <gtest/gtest.h>

#include <fstream>

#include "comm/self.h"
#include "src/core/thread_team.h"
#include "tests/support/process.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {

Config tiny(const char* type = "gpt2", const char* dtype = "fp32") {
  Config c;
  const auto set = [&](const char* key, const char* value) { c.set_text(key, value, "test"); };
  set("model.type", type), set("model.vocab_size", "61"), set("model.hidden_size", "32");
  set("model.num_hidden_layers", "2"), set("model.num_attention_heads", "2"), set("training.dtype", dtype);
  set("training.seq_len", "16"), set("training.micro_batch_size", "2"), set("parallelism.bucket_cap_mb", "0.02");
  return c;
}

double calls_of(const StepTimes& t, const std::string& op) {
  double calls = 0;
  for (const OpRow& r : t.rows)
    if (r.op == op) calls += r.calls;
  return calls;
}

TEST(Step, NamesEveryOpOfAGpt) {
  Config config = tiny();
  ThreadTeam team(2);
  const auto self = make_self_communicator();
  int told = 0;
  const StepReport r = measure_step(config, *self, Stream(team), {.steps = 3, .on_step = [&](int step) { EXPECT_EQ(step, told++); }});
  EXPECT_EQ(told, 4);
  EXPECT_EQ(r.times.step.repeats, 3);
  EXPECT_EQ(r.tokens, 32);
  EXPECT_TRUE(r.random_tokens);
  EXPECT_EQ(calls_of(r.times, "attention_forward"), 2);
  EXPECT_EQ(calls_of(r.times, "attention_backward"), 2);
  EXPECT_EQ(calls_of(r.times, "norm_backward"), 5);
  EXPECT_EQ(calls_of(r.times, "gelu_backward"), 0) << "it is part of a product";
  EXPECT_EQ(calls_of(r.times, "embedding_forward"), 1);
  EXPECT_EQ(calls_of(r.times, "embedding_backward"), 1);
  EXPECT_EQ(calls_of(r.times, "cross_entropy"), 1);
  EXPECT_EQ(calls_of(r.times, "matmul"), 2 * 4 * 3 + 3) << "four products a layer and the head, each with two gradients";
  EXPECT_GT(calls_of(r.times, "adamw"), 1) << "one a bucket";
  EXPECT_EQ(calls_of(r.times, "all_to_all"), 0) << "a rank alone has nothing to exchange";
  EXPECT_EQ(calls_of(r.times, "tree_sum"), 0);
  double ops = 0, matmul_flops = 0;
  for (const OpRow& row : r.times.rows) {
    ops += row.seconds;
    if (row.op == "matmul") {
      matmul_flops += row.flops;
      EXPECT_DOUBLE_EQ(row.flops, row.calls * 2 * double(row.shape.count())) << row.form << row.shape.str();
    }
    EXPECT_EQ(row.floor, 0) << "no roof was measured";
  }
  EXPECT_DOUBLE_EQ(r.times.ops, ops);
  EXPECT_GE(r.times.between, 0);
  // 6 flops for each parameter of a product and token: heads, and per layer 12 C^2.
  EXPECT_DOUBLE_EQ(matmul_flops, 6.0 * 32 * (2 * 12 * 32 * 32 + 64 * 32));
}

TEST(Step, LlamaInBf16HasItsOwnOps) {
  Config config = tiny("llama", "bf16");
  ThreadTeam team(1);
  const auto self = make_self_communicator();
  const StepReport r = measure_step(config, *self, Stream(team), {.steps = 1});
  EXPECT_EQ(r.dtype, DType::bf16);
  EXPECT_EQ(calls_of(r.times, "rope"), 4);
  EXPECT_EQ(calls_of(r.times, "swiglu_backward"), 2);
  EXPECT_EQ(calls_of(r.times, "bias_backward"), 0);
  for (const OpRow& row : r.times.rows) EXPECT_EQ(row.op == "matmul" && row.dtype != DType::bf16, false) << row.form;
}

TEST(Step, RanksExchangeAndHaveTheSameRows) {
  run_ranks(2, [](Communicator& comm) {
    Config config = tiny();
    ThreadTeam team(1);
    const StepReport r = measure_step(config, comm, Stream(team), {.steps = 2});
    EXPECT_EQ(r.ranks, 2);
    EXPECT_EQ(r.tokens, 64);
    bool exchanged = false;
    for (const OpRow& row : r.times.rows)
      if (row.op == "all_to_all") exchanged = row.over_the_wire && row.bytes > 0;
    EXPECT_TRUE(exchanged);
  });
}

TEST(Step, OneMicroBatchARankUnlessAllAreWanted) {
  ThreadTeam team(1);
  const auto self = make_self_communicator();
  for (const bool whole : {false, true}) {
    Config config = tiny();
    config.set_text("training.global_batch_size", "16", "test");
    config.set_text("parallelism.virtual_ranks", "4", "test");
    const StepReport r = measure_step(config, *self, Stream(team), {.steps = 1, .whole = whole});
    EXPECT_EQ(r.configured_micro_batches, 8);
    EXPECT_EQ(r.micro_batches, whole ? 8 : 1);
    EXPECT_EQ(calls_of(r.times, "embedding_forward"), whole ? 8 : 1);
    EXPECT_EQ(r.tokens, whole ? 256 : 32);
  }
}

TEST(Step, PackedDocumentsAreMeasuredToo) {
  Config config = tiny();
  config.set_text("data.reset_attention_mask", "true", "test");
  config.set_text("data.eod_mask_loss", "true", "test");
  ThreadTeam team(1);
  const auto self = make_self_communicator();
  EXPECT_EQ(calls_of(measure_step(config, *self, Stream(team), {.steps = 1}).times, "attention_backward"), 2);
}

TEST(Step, RefusesWhatCannotBe) {
  ThreadTeam team(1);
  const auto self = make_self_communicator();
  const auto code = [&](Config config, StepOptions options = {.steps = 1}) {
    try {
      measure_step(config, *self, Stream(team), options);
    } catch (const Error& e) {
      return e.code();
    }
    return ExitCode::ok;
  };
  EXPECT_EQ(code(tiny(), {.steps = 0}), ExitCode::config);
  Config missing = tiny();
  missing.set_text("data.train", "/nonexistent/tokens.h5", "test");
  EXPECT_EQ(code(missing), ExitCode::no_input);
  Config odd = tiny();
  odd.set_text("model.num_attention_heads", "3", "test");
  EXPECT_EQ(code(odd), ExitCode::config);
  Config huge = tiny();  // terabytes, which are not allocated to find that out
  huge.set_text("model.hidden_size", "65536", "test");
  huge.set_text("model.num_hidden_layers", "100", "test");
  EXPECT_EQ(code(huge), ExitCode::config);
}

TEST(Step, TokensOfAFileAreTrainedOn) {
  const TemporaryFolder folder;
  const std::string file = folder.path() / "tokens.u16";
  std::string bytes;
  for (int i = 0; i < 400; ++i) bytes += char(i % 61), bytes += char(0);
  std::ofstream(file, std::ios::binary) << bytes;
  Config config = tiny();
  config.set_text("data.train", file, "test");
  ThreadTeam team(1);
  const auto self = make_self_communicator();
  EXPECT_FALSE(measure_step(config, *self, Stream(team), {.steps = 1}).random_tokens);
  std::ofstream(file, std::ios::binary) << "abc";
  EXPECT_THROW(measure_step(config, *self, Stream(team), {.steps = 1}), Error);
}

}  // namespace
}  // namespace tw
