#include "src/nn/adapter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "src/core/thread_team.h"
#include "src/nn/initialize.h"
#include "tests/nn/small_model.h"

namespace tw {
namespace {

constexpr int64_t kBatch = 2, kSeq = 9;

struct Case {
  Architecture type;
  AdapterTargets targets;
  int64_t rank;
  bool tied = true;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << name_of(c.type) << " " << name_of(c.targets) << " rank " << c.rank; }

class Adapters : public testing::TestWithParam<Case> {
 protected:
  ModelConfig model_ = small_config(GetParam().type, GetParam().tied);
  AdapterConfig config_{.rank = GetParam().rank, .alpha = 6, .targets = GetParam().targets};
  std::vector<int32_t> ids_ = random_ids(kBatch * kSeq, model_.vocab_size, 3), targets_ = random_ids(kBatch * kSeq, model_.vocab_size, 4);
  SmallModel adapted(Checkpointing checkpointing = Checkpointing::selective, int threads = 2) const { return {model_, kBatch, kSeq, 1, true, threads, checkpointing, config_}; }
  // The same model with the adapters in its weights.
  void merge(const SmallModel& from, SmallModel& whole) const {
    std::memcpy(whole.weights.as<float>(), from.weights.as<float>(), size_t(from.weights.count()) * 4);
    ThreadTeam team(1);
    merge_adapters(model_, config_, whole.table, whole.weights.view(), from.adapters.view(), Stream(team));
  }
};

TEST_P(Adapters, TheModelIsTheOneWithThemMerged) {
  SmallModel beside = adapted(), merged(model_, kBatch, kSeq);
  merge(beside, merged);
  EXPECT_NE(std::memcmp(merged.weights.as<float>(), beside.weights.as<float>(), size_t(merged.weights.count()) * 4), 0);
  beside.loss(ids_, targets_), merged.loss(ids_, targets_);
  for (int64_t i = 0; i < kBatch * kSeq; ++i) EXPECT_NEAR(beside.losses.as<float>()[i], merged.losses.as<float>()[i], 2e-5) << i;
}

// W = W0 + s B A, so that dA = s B^T dW and dB = s dW A^T, part by part: dW by the backward pass of the model that is trained as a whole.
TEST_P(Adapters, GradientsAreThoseOfTheWholeWeightThroughTheProduct) {
  SmallModel beside = adapted(), merged(model_, kBatch, kSeq);
  merge(beside, merged);
  beside.forward_backward(ids_, targets_), merged.forward_backward(ids_, targets_);
  const double s = config_.alpha / double(config_.rank);
  for (int64_t layer = 0; layer < model_.num_hidden_layers; ++layer)
    for (const std::string& kind : adapted_layers(model_, config_)) {
      const std::string name = "layers." + std::to_string(layer) + "." + kind;
      SCOPED_TRACE(name);
      const AdapterShape shape = *adapter_shape(model_, config_, kind);
      const auto at = [](const ParameterTable& table, const Tensor& flat, const std::string& parameter) { return flat.as<float>() + table[parameter].offset; };
      const float *dw = at(merged.table, merged.gradients, name + ".weight"), *a = at(beside.trained, beside.adapters, name + ".lora_a"),
                  *b = at(beside.trained, beside.adapters, name + ".lora_b"), *da = at(beside.trained, beside.gradients, name + ".lora_a"),
                  *db = at(beside.trained, beside.gradients, name + ".lora_b");
      const int64_t in = shape.in, r = shape.rank;
      std::vector<double> want_a(size_t(shape.wide() * in), 0.0), want_b(size_t(shape.out * r), 0.0);
      for (int64_t row = 0; row < shape.out; ++row)
        for (int64_t i = 0; i < r; ++i)
          for (int64_t c = 0; c < in; ++c) {
            const int64_t inner = shape.parts.of(row) * r + i;
            want_a[size_t(inner * in + c)] += s * double(b[row * r + i]) * double(dw[row * in + c]);
            want_b[size_t(row * r + i)] += s * double(dw[row * in + c]) * double(a[inner * in + c]);
          }
      double largest = 0;
      for (const std::vector<double>* all : {&want_a, &want_b})
        for (double v : *all) largest = std::max(largest, std::abs(v));
      EXPECT_GT(largest, 1e-3);
      for (size_t i = 0; i < want_a.size(); ++i) ASSERT_NEAR(da[i], want_a[i], 2e-4 * largest) << "A, element " << i;
      for (size_t i = 0; i < want_b.size(); ++i) ASSERT_NEAR(db[i], want_b[i], 2e-4 * largest) << "B, element " << i;
    }
}

TEST_P(Adapters, GradientsEqualFiniteDifferences) {
  SmallModel m = adapted();
  m.forward_backward(ids_, targets_);
  const Rng rng{9, RngStream::test, 2, 0};
  float* w = m.adapters.as<float>();
  for (const ParameterInfo& p : m.trained.all()) {
    const std::vector<float> old(w + p.offset, w + p.offset + p.count());
    double expected = 0, norm = 0;
    for (int64_t i = 0; i < p.count(); ++i) {
      const double d = rng.normal(uint64_t(p.offset + i));
      expected += d * double(m.gradients.as<float>()[p.offset + i]), norm += d * d;
    }
    const double eps = 1e-2 / std::sqrt(norm);
    const auto loss_at = [&](double step) {
      for (int64_t i = 0; i < p.count(); ++i) w[p.offset + i] = float(double(old[size_t(i)]) + step * rng.normal(uint64_t(p.offset + i)));
      return m.loss(ids_, targets_);
    };
    const double measured = (loss_at(eps) - loss_at(-eps)) / (2 * eps);
    std::copy(old.begin(), old.end(), w + p.offset);
    EXPECT_NEAR(expected, measured, 2e-2 * std::max(1.0, std::abs(measured))) << p.name;
  }
}

TEST_P(Adapters, BitsDependNeitherOnThreadsNorOnWhatIsComputedAgain) {
  SmallModel first = adapted(Checkpointing::none, 1);
  first.forward_backward(ids_, targets_);
  for (const auto& [checkpointing, threads] : {std::pair(Checkpointing::none, 3), std::pair(Checkpointing::selective, 1), std::pair(Checkpointing::full, 2)}) {
    if (kOnGpu && checkpointing != Checkpointing::none) continue;  // its library makes GELU with a product, and not as we do alone
    SmallModel other = adapted(checkpointing, threads);
    other.forward_backward(ids_, targets_);
    EXPECT_EQ(std::memcmp(first.gradients.as<float>(), other.gradients.as<float>(), size_t(first.gradients.count()) * 4), 0) << int(checkpointing);
    EXPECT_EQ(std::memcmp(first.losses.as<float>(), other.losses.as<float>(), size_t(first.losses.count()) * 4), 0) << int(checkpointing);
  }
}

TEST_P(Adapters, AtTheStartTheyChangeNothing) {
  SmallModel m = adapted(), plain(model_, kBatch, kSeq);
  ThreadTeam team(1);
  initialize_weights(model_, m.trained, 7, 0, m.adapters.view(), Stream(team));
  double squares = 0, count = 0, in = 0;
  for (const ParameterInfo& p : m.trained.all()) {
    const float* v = m.adapters.as<float>() + p.offset;
    if (p.name.ends_with(".lora_b")) {
      EXPECT_EQ(std::count(v, v + p.count(), 0.0f), p.count()) << p.name;
    } else if (in == 0 || in == double(p.shape[1])) {
      in = double(p.shape[1]);
      for (int64_t i = 0; i < p.count(); ++i) squares += double(v[i]) * double(v[i]), count += 1;
    }
  }
  EXPECT_NEAR(squares / count * 3 * in, 1, 6 / std::sqrt(count)) << "the variance of a uniform start between -1/sqrt(in) and 1/sqrt(in)";
  m.loss(ids_, targets_), plain.loss(ids_, targets_);
  for (int64_t i = 0; i < kBatch * kSeq; ++i) EXPECT_NEAR(m.losses.as<float>()[i], plain.losses.as<float>()[i], 1e-6) << i;
  m.forward_backward(ids_, targets_);
  for (const ParameterInfo& p : m.trained.all()) {
    const float* g = m.gradients.as<float>() + p.offset;
    EXPECT_EQ(std::all_of(g, g + p.count(), [](float v) { return v == 0; }), p.name.ends_with(".lora_a")) << p.name << ": at first only B has a gradient";
  }
}

TEST_P(Adapters, ReadyOffsetsFallToZero) {
  SmallModel m = adapted();
  std::vector<int64_t> offsets;
  m.forward_backward(ids_, targets_, [&](int64_t offset) { offsets.push_back(offset); });
  ASSERT_EQ(offsets.size(), size_t(model_.num_hidden_layers) + 2);
  EXPECT_EQ(offsets.front(), m.trained.flat_count());
  EXPECT_EQ(offsets.back(), 0);
  EXPECT_TRUE(std::is_sorted(offsets.rbegin(), offsets.rend()));
  EXPECT_EQ(offsets[1], m.trained["layers.1." + adapted_layers(model_, config_).front() + ".lora_a"].offset);
}

INSTANTIATE_TEST_SUITE_P(Models, Adapters,
                         testing::Values(Case{Architecture::llama, AdapterTargets::all, 3}, Case{Architecture::llama, AdapterTargets::attention, 8, false},
                                         Case{Architecture::llama, AdapterTargets::mlp, 1}, Case{Architecture::gpt2, AdapterTargets::all, 4},
                                         Case{Architecture::gpt2, AdapterTargets::mlp, 2, false}, Case{Architecture::gpt2, AdapterTargets::attention, 30}));

TEST(AdapterConfig, SaysWhatCannotBe) {
  EXPECT_THROW(adapter_targets_named("heads"), Error);
  EXPECT_THROW((AdapterConfig{.rank = 4, .alpha = 0}.check()), Error);
  EXPECT_THROW((AdapterConfig{.rank = 4, .alpha = std::nan("")}.check()), Error);
  EXPECT_THROW(adapter_table(small_config(Architecture::llama, true), {}), Error);
  const AdapterConfig some{.rank = 5, .alpha = 2.5, .targets = AdapterTargets::mlp};
  EXPECT_EQ(parse_adapter_config(to_json(some).dump(), "here"), some);
  for (const char* text : {"", "[]", "{", "{\"rank\": 4, \"alpha\": 1}", "{\"rank\": 0, \"alpha\": 1, \"targets\": \"all\"}",
                           "{\"rank\": 1e9, \"alpha\": 1, \"targets\": \"all\"}", "{\"rank\": 100000, \"alpha\": 1, \"targets\": \"all\"}",
                           "{\"rank\": 4, \"alpha\": \"1\", \"targets\": \"all\"}", "{\"rank\": 4, \"alpha\": -1, \"targets\": \"all\"}",
                           "{\"rank\": 4, \"alpha\": 1, \"targets\": \"some\"}"}) {
    try {
      parse_adapter_config(text, "MANIFEST");
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << text;
      EXPECT_NE(std::string(e.what()).find("MANIFEST"), std::string::npos) << e.what();
    }
  }
}

TEST(AdapterTable, HoldsOnePairForEachLayerOfHuggingFace) {
  const ModelConfig m = small_config(Architecture::llama, true);  // 24 wide, 4 + 2 x 2 heads of 10, 40 inside
  const ParameterTable table = adapter_table(m, {.rank = 2});
  EXPECT_EQ(table.all().size(), size_t(2 * 4 * 2));
  EXPECT_EQ(table["layers.1.attention.qkv.lora_a"].shape, (Shape{6, 24}));
  EXPECT_EQ(table["layers.1.attention.qkv.lora_b"].shape, (Shape{80, 2}));
  EXPECT_EQ(table["layers.0.attention.out.lora_a"].shape, (Shape{2, 40}));
  EXPECT_EQ(table["layers.0.mlp.gate_up.lora_a"].shape, (Shape{4, 24}));
  // peft.LoraConfig(r=2, target_modules="all-linear") of such a LlamaForCausalLM
  EXPECT_EQ(table.parameter_count(), 2 * 2 * ((24 + 40) + 2 * (24 + 20) + (40 + 24) + 2 * (24 + 40) + (40 + 24)));
}

}  // namespace
}  // namespace tw
