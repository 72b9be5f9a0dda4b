// What a training step does, counted and not timed: calls of ops, bytes they pass over, memory allocated. A fusion that is
// lost, a pass over the gradients too many or a buffer that grows fails here, whatever the machine is busy with.
#include <gtest/gtest.h>

#include "comm/self.h"
#include "src/core/thread_team.h"
#include "src/roof/step.h"
#include "tests/support/heap_use.h"

namespace tw {
namespace {

// Widths of the models that docs/performance.md measures, on fewer tokens and layers.
struct StepCase {
  const char* name;
  const char *type, *dtype;
  int64_t hidden, heads, kv_heads, ffn, vocab, seq_len;
  // What is kept. A pass: once over (tokens, hidden_size) elements of the dtype, read or written.
  double layer_calls, layer_passes;  // of a layer, forward and backward; passes of ops that are no products
  double other_calls, other_passes;  // embedding, last norm, head and loss
  double parameter_bytes;            // moved for each parameter, forward and backward left out
  double held_passes;                // memory for each token more, two layers
  double held_bytes;                 // memory for a parameter
};
std::ostream& operator<<(std::ostream& out, const StepCase& c) { return out << c.name; }

Config config_of(const StepCase& c, int64_t layers, int64_t batch) {
  Config config;
  const auto set = [&](const char* key, int64_t value) { config.set_text(key, std::to_string(value), "test"); };
  config.set_text("model.type", c.type, "test");
  config.set_text("training.dtype", c.dtype, "test");
  set("model.hidden_size", c.hidden), set("model.num_attention_heads", c.heads), set("model.vocab_size", c.vocab);
  set("model.num_key_value_heads", c.kv_heads), set("model.intermediate_size", c.ffn), set("model.num_hidden_layers", layers);
  set("training.seq_len", c.seq_len), set("training.micro_batch_size", batch);
  return config;
}

StepReport step_of(const StepCase& c, int64_t layers, int64_t batch) {
  Config config = config_of(c, layers, batch);
  ThreadTeam team(1);
  const auto self = make_self_communicator();
  return measure_step(config, *self, Stream(team), {.steps = 1});
}

struct Counts {
  double calls = 0, bytes = 0;
};
template <class Wanted>
Counts count(const StepReport& report, Wanted&& wanted) {
  Counts sum;
  for (const OpRow& row : report.times.rows)
    if (wanted(row.op)) sum.calls += row.calls, sum.bytes += row.bytes;
  return sum;
}
// Once a bucket or step, over parameters and gradients.
bool of_parameters(const std::string& op) { return op == "adamw" || op == "sum_of_squares" || op == "zero" || op == "all_gather"; }
bool of_activations(const std::string& op) { return !of_parameters(op); }
bool pointwise(const std::string& op) { return of_activations(op) && op != "matmul"; }

// More than was kept is a regression; less wants the new count here.
void expect_kept(double now, double kept, const char* what) { EXPECT_NEAR(now, kept, 0.005 * kept + 1e-9) << what; }

class StepCounts : public ::testing::TestWithParam<StepCase> {};

TEST_P(StepCounts, AreWhatWasKept) {
  const StepCase& c = GetParam();
  const StepReport one = step_of(c, 1, 2), two = step_of(c, 2, 2), narrow = step_of(c, 2, 1);
  const double pass = double(2 * c.seq_len * c.hidden) * double(size_of(two.dtype));
  const double calls = count(two, of_activations).calls - count(one, of_activations).calls;
  const double bytes = count(two, pointwise).bytes - count(one, pointwise).bytes;
  EXPECT_EQ(calls, c.layer_calls) << "calls of ops in a layer";
  EXPECT_EQ(count(one, of_activations).calls - calls, c.other_calls) << "calls of ops around the layers";
  expect_kept(bytes / pass, c.layer_passes, "passes over a layer's activations");
  expect_kept((count(one, pointwise).bytes - bytes) / pass, c.other_passes, "passes around the layers");
  expect_kept(count(two, of_parameters).bytes / double(two.parameters), c.parameter_bytes, "bytes moved for a parameter");
  expect_kept((two.arena_bytes - narrow.arena_bytes) / (pass / 2), c.held_passes, "memory of activations");
  // Weight, gradient, two moments; what else is not of activations is spread over them.
  expect_kept((two.arena_bytes - c.held_passes * pass) / double(two.parameters), c.held_bytes, "bytes of memory for a parameter");
}

TEST_P(StepCounts, AStepTakesNothingFromTheHeap) {
  Config config = config_of(GetParam(), 2, 1);
  ThreadTeam team(2);
  const auto self = make_self_communicator();
  std::vector<HeapUse> use;
  use.reserve(16);
  const int64_t before = allocation_count();
  int64_t blocks = 0;
  measure_step(config, *self, Stream(team), {.steps = 4, .plain = true, .on_step = [&](int) {
                 use.push_back(heap_use());
                 if (use.size() == 1) blocks = allocation_count();
               }});
  EXPECT_GT(blocks, before);
  for (size_t i = 3; i < use.size(); ++i) {
    EXPECT_LE(use[i].bytes - use[i - 1].bytes, 64 << 10) << "step " << i << " took " << use[i].calls - use[i - 1].calls << " pieces";
  }
  EXPECT_EQ(allocation_count(), blocks) << "large blocks";
}

INSTANTIATE_TEST_SUITE_P(Models, StepCounts,
                         ::testing::Values(StepCase{"gpt_fp32", "gpt2", "fp32", 256, 4, 4, 1024, 4096, 256, 24, 45.13, 8, 43.54, 36.00, 45.08, 22.23},
                                           StepCase{"gpt_bf16", "gpt2", "bf16", 256, 4, 4, 1024, 4096, 256, 24, 45.25, 8, 46.58, 38.00, 45.16, 24.23},
                                           StepCase{"llama_fp32", "llama", "fp32", 512, 8, 4, 1408, 8192, 128, 25, 65.46, 8, 42.03, 36.00, 44.80, 17.67},
                                           StepCase{"llama_bf16", "llama", "bf16", 512, 8, 4, 1408, 8192, 128, 25, 65.64, 8, 44.05, 38.00, 44.84, 19.67}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace tw
