// What people read, within 80 columns.
#include "src/roof/tables.h"

#include <gtest/gtest.h>

#include <gmock/gmock.h>

#include <limits>
#include <sstream>

namespace tw {
namespace {
using testing::HasSubstr;
using testing::Not;

size_t widest(const std::string& text) {
  size_t most = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) most = std::max(most, line.size());
  return most;
}

StepReport report() {
  StepReport r;
  r.model.type = Architecture::llama;
  r.parameters = 1'235'814'400, r.seq_len = 4096, r.micro_batch_size = 4, r.tokens = 16384, r.configured_micro_batches = 64;
  r.ranks = 512, r.threads = 128, r.arena_bytes = 3e11, r.flops_per_token = 7e9;
  r.times.step = {.best = 1.0, .median = 1.25, .worst = 2, .repeats = 5};
  r.times.rows = {{.op = "matmul", .form = "a^T b", .shape = {128256, 131072, 16384}, .calls = 160, .flops = 4e12, .bytes = 1e9, .seconds = 1, .floor = 0.25},
                  {.op = "all_to_all", .calls = 12, .bytes = 5e9, .seconds = 0.2, .floor = 0.1, .over_the_wire = true},
                  {.op = "scale", .calls = 3, .bytes = 5, .seconds = 1e-5},
                  {.op = "zero", .calls = 4, .bytes = 5, .seconds = 2e-5}};
  r.times.ops = 1.20003, r.times.between = 0.05, r.times.floor = 0.35;
  return r;
}

TEST(Tables, OfAStepFitAndSayWhatIsLost) {
  const std::string text = step_table(report(), true);
  EXPECT_LE(widest(text), 80u) << text;
  EXPECT_THAT(text, HasSubstr("a^T b 128256x131072x16384"));
  EXPECT_THAT(text, HasSubstr("all to all between ranks"));
  EXPECT_THAT(text, HasSubstr("2 more")) << "rows too small to matter share one";
  EXPECT_THAT(text, Not(HasSubstr("zero")));
  EXPECT_THAT(text, HasSubstr("25 %"));
  EXPECT_THAT(text, HasSubstr("750.0")) << "lost milliseconds";
  EXPECT_THAT(text, HasSubstr("between ops"));
  EXPECT_THAT(text, HasSubstr("1 of the 64 micro batches"));
  EXPECT_THAT(text, HasSubstr("60.0 % of the step"));
  EXPECT_THAT(text, HasSubstr("spread 80 %"));
}

TEST(Tables, WithoutARoofHaveNoFloors) {
  const std::string text = step_table(report(), false);
  EXPECT_LE(widest(text), 80u);
  EXPECT_THAT(text, Not(HasSubstr("floor")));
  EXPECT_THAT(text, Not(HasSubstr("Floor")));
  EXPECT_THAT(text, HasSubstr("tokens/s"));
}

TEST(Tables, OfTheRoofFit) {
  Roof roof;
  roof.matrix.push_back({.dtype = DType::bf16, .m = 16384, .n = 16384, .k = 2048, .path = "own, pairs of bf16", .seconds = {1, 1.1, 2, 7}});
  roof.memory.push_back({.level = "memory", .capacity = std::numeric_limits<double>::infinity(), .working_set = 2e9, .read = 1.2345e12, .copy = 1e12, .triad = 1e12, .noise = 0.12});
  const std::string text = roof_table(roof, 128, 512) + exchange_table({{8, 1.5e-6, 100}, {4194304, 1e-3, 50}}, 512) +
                           disk_line({.bytes = 2.7e8, .write_seconds = 0.1, .read_seconds = 0.05, .fsync_seconds = 0.004, .read_how = "cache dropped"},
                                     {.kind = "fuse.glusterfs"}, std::string(90, 'x'));
  EXPECT_LE(widest(text), 82u) << text;  // the shortened folder holds a letter of two bytes and marks
  EXPECT_THAT(text, HasSubstr("1099.5")) << "2 x 16384^2 x 2048 operations in a second, in GFLOP/s";
  EXPECT_THAT(text, HasSubstr("1234.5"));
  EXPECT_EQ(exchange_table({}, 1), "");
}

}  // namespace
}  // namespace tw
