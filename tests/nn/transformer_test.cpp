#include "src/nn/transformer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/loss.h"
#include "tests/nn/small_model.h"

namespace tw {
namespace {

struct Case {
  Architecture type;
  bool tied;
  int64_t batch, seq_len;
  bool packed = false;  // rows of several documents
};
std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << name_of(c.type) << (c.tied ? " tied " : " untied ") << c.batch << "x" << c.seq_len << (c.packed ? " packed" : "");
}

// Documents of 1 to 5 tokens: where each token's document begins, (B, T).
std::vector<int32_t> some_starts(int64_t B, int64_t T) {
  std::vector<int32_t> starts;
  int32_t begin = 0;
  for (int64_t n = 0; n < B * T; ++n) {
    if (n % T == 0 || n % 5 == 1 || n % 7 == 3) begin = int32_t(n % T);
    starts.push_back(begin);
  }
  return starts;
}

class TransformerGradient : public testing::TestWithParam<Case> {};

// Central difference of the summed loss along a random direction, once over all parameters and once for each alone.
TEST_P(TransformerGradient, EqualsFiniteDifferences) {
  const auto [type, tied, B, T, packed] = GetParam();
  const ModelConfig model = small_config(type, tied);
  SmallModel m(model, B, T);
  const std::vector<int32_t> starts = some_starts(B, T);
  if (packed) m.transformer.use_document_starts(m.view(starts), m.view(starts));
  auto ids = random_ids(B * T, model.vocab_size, 3), targets = random_ids(B * T, model.vocab_size, 4);
  if (targets.size() > 2) targets[1] = kIgnoredTarget;
  m.forward_backward(ids, targets);
  const Rng rng{9, RngStream::test, 2, 0};
  float* w = m.weights.as<float>();
  const float* g = m.gradients.as<float>();
  for (const ParameterInfo& p : m.table.all()) {
    const bool vocabulary = p.name == "tokens.weight" || p.name == "head.weight";
    const int64_t n = vocabulary ? model.vocab_size * model.hidden_size : p.count();
    std::vector<float> old(w + p.offset, w + p.offset + n);
    std::vector<double> direction(static_cast<size_t>(n));
    double expected = 0, norm = 0;
    for (int64_t i = 0; i < n; ++i) {
      direction[size_t(i)] = rng.normal(uint64_t(p.offset + i));
      expected += direction[size_t(i)] * double(g[p.offset + i]);
      norm += direction[size_t(i)] * direction[size_t(i)];
    }
    const double eps = 2e-2 / std::sqrt(norm);
    const auto loss_at = [&](double step) {
      for (int64_t i = 0; i < n; ++i) w[p.offset + i] = float(double(old[size_t(i)]) + step * direction[size_t(i)]);
      return m.loss(ids, targets);
    };
    const double measured = (loss_at(eps) - loss_at(-eps)) / (2 * eps);
    std::copy(old.begin(), old.end(), w + p.offset);
    EXPECT_NEAR(expected, measured, 2e-2 * std::max(1.0, std::abs(measured))) << p.name;
  }
}

TEST_P(TransformerGradient, AddsToParameterGradients) {
  const auto [type, tied, B, T, packed] = GetParam();
  const ModelConfig model = small_config(type, tied);
  SmallModel m(model, B, T);
  const auto ids = random_ids(B * T, model.vocab_size, 3), targets = random_ids(B * T, model.vocab_size, 4);
  m.forward_backward(ids, targets);
  const std::vector<float> once(m.gradients.as<float>(), m.gradients.as<float>() + m.gradients.count());
  m.forward_backward(ids, targets);
  for (size_t i = 0; i < once.size(); ++i)
    ASSERT_NEAR(m.gradients.as<float>()[i], 2 * once[i], 1e-5 * (1 + std::abs(once[i]))) << i;
}

TEST_P(TransformerGradient, BitsDoNotDependOnThreads) {
  const auto [type, tied, B, T, packed] = GetParam();
  const ModelConfig model = small_config(type, tied);
  const std::vector<int32_t> starts = some_starts(B, T);
  SmallModel one(model, B, T, 1, true, 1), three(model, B, T, 1, true, 3);
  const auto ids = random_ids(B * T, model.vocab_size, 3), targets = random_ids(B * T, model.vocab_size, 4);
  for (SmallModel* m : {&one, &three}) {
    if (packed) m->transformer.use_document_starts(m->view(starts), m->view(starts));
    m->forward_backward(ids, targets);
  }
  EXPECT_EQ(0, std::memcmp(one.gradients.as<float>(), three.gradients.as<float>(), size_t(one.gradients.count()) * 4));
  EXPECT_EQ(0, std::memcmp(one.losses.as<float>(), three.losses.as<float>(), size_t(one.losses.count()) * 4));
}

INSTANTIATE_TEST_SUITE_P(Models, TransformerGradient,
                         testing::Values(Case{Architecture::gpt2, true, 2, 7}, Case{Architecture::gpt2, false, 1, 1},
                                         Case{Architecture::llama, true, 1, 16}, Case{Architecture::llama, false, 3, 5},
                                         Case{Architecture::gpt2, true, 2, 13, true}, Case{Architecture::llama, true, 2, 16, true}));

TEST(Transformer, APackedDocumentHasTheLossItHasAlone) {
  for (Architecture type : {Architecture::gpt2, Architecture::llama}) {
    const ModelConfig model = small_config(type, true);
    const int64_t T = 15, lengths[] = {4, 1, 7, 3};
    SmallModel packed(model, 1, T);
    const auto ids = random_ids(T, model.vocab_size, 3), targets = random_ids(T, model.vocab_size, 4);
    std::vector<int32_t> starts;
    for (const int64_t n : lengths) starts.insert(starts.end(), size_t(n), int32_t(starts.size()));
    packed.transformer.use_document_starts(packed.view(starts), packed.view(starts));
    packed.loss(ids, targets);
    int64_t begin = 0;
    for (const int64_t n : lengths) {
      SmallModel alone(model, 1, n);
      alone.loss({ids.begin() + begin, ids.begin() + begin + n}, {targets.begin() + begin, targets.begin() + begin + n});
      for (int64_t t = 0; t < n; ++t)
        EXPECT_NEAR(alone.losses.as<float>()[t], packed.losses.as<float>()[begin + t], 1e-5) << name_of(type) << begin + t;
      begin += n;
    }
    packed.transformer.use_document_starts({}, {});
    const double before = double(packed.losses.as<float>()[T - 1]);
    packed.loss(ids, targets);
    EXPECT_GT(std::abs(double(packed.losses.as<float>()[T - 1]) - before), 1e-3) << "and without, another one";
  }
}

TEST(Transformer, ReadyOffsetsFallToZeroAndCoverFinalGradients) {
  const ModelConfig model = small_config(Architecture::llama, false);
  SmallModel m(model, 1, 4);
  const auto ids = random_ids(4, model.vocab_size, 3), targets = random_ids(4, model.vocab_size, 4);
  std::vector<int64_t> offsets;
  std::vector<std::vector<float>> seen;
  m.forward_backward(ids, targets, [&](int64_t offset) {
    m.fetch_gradients();
    offsets.push_back(offset);
    seen.emplace_back(m.gradients.as<float>() + offset, m.gradients.as<float>() + m.gradients.count());
  });
  ASSERT_EQ(offsets.size(), size_t(model.num_hidden_layers) + 2);
  EXPECT_EQ(offsets.back(), 0);
  for (size_t i = 0; i < offsets.size(); ++i) {
    EXPECT_TRUE(i == 0 || offsets[i] < offsets[i - 1]) << offsets[i];
    EXPECT_EQ(0, std::memcmp(seen[i].data(), m.gradients.as<float>() + offsets[i], seen[i].size() * 4)) << offsets[i];
  }
}

TEST(Transformer, EvaluationMemoryDoesNotGrowWithLayers) {
  ModelConfig model = small_config(Architecture::llama, true);
  ArenaPlan two, eight;
  Transformer a(model, {.batch = 2, .seq_len = 8, .dtype = DType::fp32, .training = false}, two);
  model.num_hidden_layers = 8;
  Transformer b(model, {.batch = 2, .seq_len = 8, .dtype = DType::fp32, .training = false}, eight);
  EXPECT_EQ(two.bytes(), eight.bytes());
}

// What is computed again gives the bits that were there, in less memory.
TEST(Transformer, CheckpointingChangesMemoryAlone) {
  for (Architecture type : {Architecture::gpt2, Architecture::llama})
    for (bool packed : {false, true}) {
      ModelConfig model = small_config(type, true);
      model.num_hidden_layers = 4;
      const auto ids = random_ids(2 * 11, model.vocab_size, 3), targets = random_ids(2 * 11, model.vocab_size, 4);
      const std::vector<int32_t> starts = some_starts(2, 11);
      std::vector<std::vector<float>> gradients;
      std::vector<size_t> bytes;
      for (Checkpointing checkpointing : {Checkpointing::none, Checkpointing::selective, Checkpointing::full}) {
        SmallModel m(model, 2, 11, 1, true, 2, checkpointing);
        if (packed) m.transformer.use_document_starts(m.view(starts), m.view(starts));
        m.forward_backward(ids, targets);
        gradients.emplace_back(m.gradients.as<float>(), m.gradients.as<float>() + m.gradients.count());
        bytes.push_back(m.plan.bytes_of("activations"));
      }
      for (size_t i : {1, 2}) {
        if (!kOnGpu || i == 2 || type == Architecture::llama) {
          EXPECT_EQ(0, std::memcmp(gradients[i].data(), gradients[0].data(), gradients[0].size() * 4)) << name_of(type) << i;
        }
        for (size_t j = 0; j < gradients[0].size(); ++j)
          ASSERT_NEAR(gradients[i][j], gradients[0][j], 1e-5 * (1 + std::abs(gradients[0][j]))) << name_of(type) << i;
      }
      EXPECT_GT(bytes[0], bytes[1]);
      EXPECT_GT(bytes[1], 2 * bytes[2]);
    }
}

TEST(Transformer, EvaluationEqualsTraining) {
  for (Architecture type : {Architecture::gpt2, Architecture::llama}) {
    const ModelConfig model = small_config(type, true);
    SmallModel training(model, 2, 9), evaluation(model, 2, 9, 1, false);
    const auto ids = random_ids(18, model.vocab_size, 3), targets = random_ids(18, model.vocab_size, 4);
    EXPECT_EQ(training.loss(ids, targets), evaluation.loss(ids, targets));
  }
}

TEST(Transformer, AllocatesNothingAfterItsFirstPass) {
  const ModelConfig model = small_config(Architecture::gpt2, true);
  SmallModel m(model, 2, 8);
  const auto ids = random_ids(16, model.vocab_size, 3), targets = random_ids(16, model.vocab_size, 4);
  m.forward_backward(ids, targets);
  const ConstView again = m.view(ids), wanted = m.view(targets);
  const int64_t before = allocation_count();
  m.transformer.forward_backward(again, wanted, m.losses.view(), nullptr, m.stream);
  EXPECT_EQ(allocation_count(), before);
}

TEST(Transformer, TooLongSequencesAreRefused) {
  const ModelConfig model = small_config(Architecture::gpt2, true);
  ArenaPlan plan;
  EXPECT_THROW(Transformer(model, {.batch = 1, .seq_len = 17}, plan), Error);
}

}  // namespace
}  // namespace tw
