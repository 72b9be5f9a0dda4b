#include "src/generate/generator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "tests/nn/small_model.h"

namespace tw {
namespace {

struct SmallGenerator {
  explicit SmallGenerator(Architecture type)
      : model(small_config(type, true)), table(model), weights(random_weights(model, table, 2)) {}
  ModelConfig model;
  ParameterTable table;
  Tensor weights;
  OpStream stream{2};
  Mirror mirror{stream};
  Generator generator{model, table, mirror.in(weights.view()), stream};
};

// Greedy generation with the cache is what full passes over the growing text give.
TEST(Generator, CacheChangesNothing) {
  for (Architecture type : {Architecture::gpt2, Architecture::llama}) {
    SmallGenerator s(type);
    const std::vector<int32_t> prompt = {3, 1, 4, 1};
    const auto g = s.generator.run(prompt, {.sampling = {.temperature = 0}, .max_new_tokens = 12}, 0, {});
    std::vector<int32_t> all = prompt;
    Sampler greedy({.temperature = 0}, s.model.vocab_size);
    for (int32_t id : g.ids) {
      const Tensor logits = s.generator.logits(all);
      Tensor last = tensor({1, s.model.vocab_size}, DType::fp32);
      std::memcpy(last.view().data, logits.view().rows(int64_t(all.size()) - 1, int64_t(all.size())).data, last.view().bytes());
      EXPECT_EQ(greedy.pick(last.view(), 0, 0, s.stream), id);
      all.push_back(id);
    }
    EXPECT_EQ(g.ids.size(), 12u);
  }
}

TEST(Generator, GoesOnBeyondTheModelsPositions) {
  for (Architecture type : {Architecture::gpt2, Architecture::llama}) {
    SmallGenerator s(type);
    const auto g = s.generator.run(std::vector<int32_t>(40, 5), {.max_new_tokens = 50}, 0, {});
    EXPECT_EQ(g.ids.size(), 50u);
  }
}

TEST(Generator, StopsAndStreams) {
  SmallGenerator s(Architecture::llama);
  std::vector<int32_t> streamed;
  const auto free = s.generator.run({1}, {.max_new_tokens = 12}, 0, [&](int32_t id) { streamed.push_back(id); });
  EXPECT_EQ(streamed, free.ids);
  const auto stopped = s.generator.run({1}, {.max_new_tokens = 12, .stop_id = free.ids[5]}, 0, {});
  EXPECT_TRUE(stopped.stopped);
  EXPECT_LE(stopped.ids.size(), 5u);
}

TEST(Generator, BadPromptsAreRefused) {
  SmallGenerator s(Architecture::gpt2);
  EXPECT_THROW(s.generator.run({}, {}, 0, {}), Error);
  EXPECT_THROW(s.generator.run({37}, {}, 0, {}), Error);
  EXPECT_THROW(s.generator.run({-1}, {}, 0, {}), Error);
  EXPECT_THROW(s.generator.run({1}, {.max_new_tokens = -1}, 0, {}), Error);
  EXPECT_THROW(s.generator.run({1}, {.max_new_tokens = std::numeric_limits<int64_t>::max()}, 0, {}), Error);
  EXPECT_THROW(s.generator.logits(std::vector<int32_t>(17, 1)), Error);
}

}  // namespace
}  // namespace tw
