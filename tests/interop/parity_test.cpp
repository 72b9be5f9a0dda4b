// Against exact references of PyTorch (see the README beside the data for every tolerance).
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "comm/self.h"
#include "src/core/thread_team.h"
#include "src/generate/generator.h"
#include "src/interop/hf.h"
#include "src/interop/safetensors.h"
#include "src/train/trainer.h"
#include "tests/support/npy_reader.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {

struct Folder {
  std::filesystem::path path;
  nlohmann::json reference;
};

class Parity : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto folder = test_data(std::string("parity/") + GetParam());
    if (!folder) GTEST_SKIP() << "the PyTorch references are not here (TW_TEST_DATA)";
    path_ = *folder;
    reference_ = nlohmann::json::parse(std::ifstream(path_ / "reference.json"));
    model_ = read_hf_config(path_ / "init");
  }
  Tensor weights(const ParameterTable& table, const char* which) const {
    Tensor flat({table.flat_count()}, DType::fp32);
    read_hf_weights(path_ / which, model_, table, flat.view());
    return flat;
  }
  void expect_logits(const ParameterTable& table, ConstView flat, const char* file, double tolerance) {
    const auto want = read_float_npy(path_ / file);
    Generator generator(model_, table, flat, stream_);
    size_t at = 0;
    double worst = 0;
    for (const auto& row : reference_.at("input_ids")) {
      const Tensor logits = generator.logits(row.get<std::vector<int32_t>>());
      for (int64_t i = 0; i < logits.count(); ++i, ++at) worst = std::max(worst, std::abs(double(logits.as<float>()[i]) - double(want.at(at))));
    }
    EXPECT_EQ(at, want.size());
    EXPECT_LE(worst, tolerance);
    RecordProperty("logits_max_abs", std::to_string(worst));
  }
  TrainerOptions trainer_options() const {
    const auto& t = reference_.at("train");
    TrainerOptions o;
    o.model = model_;
    o.seq_len = t.at("seq");
    o.micro_batch_size = o.global_batch_size = t.at("batch");
    o.max_grad_norm = t.at("clip_norm");
    o.schedule = {.type = ScheduleType::cosine, .lr = t.at("max_lr"),
                  .min_lr_ratio = t.at("min_lr").get<double>() / t.at("max_lr").get<double>(), .steps = t.at("steps"),
                  .warmup_steps = t.at("warmup_steps")};
    o.optimizer = {.beta1 = t.at("betas")[0], .beta2 = t.at("betas")[1], .eps = t.at("eps"), .weight_decay = t.at("weight_decay")};
    return o;
  }
  std::shared_ptr<Batches> batches() const {
    const auto& t = reference_.at("train");
    return std::make_shared<Batches>(
        std::vector<std::shared_ptr<const TokenFile>>{TokenFile::open(path_ / t.at("data").get<std::string>(), 16)},
        BatchOptions{.seq_len = t.at("seq"), .sample_stride = t.at("seq").get<int64_t>() + 1, .shuffle = false});
  }

  std::filesystem::path path_;
  nlohmann::json reference_;
  ModelConfig model_;
  ThreadTeam team_{2};
  Stream stream_{team_};
  std::unique_ptr<Communicator> comm_ = make_self_communicator();
};

TEST_P(Parity, Logits) {
  const ParameterTable table(model_);
  const Tensor flat = weights(table, "init");
  expect_logits(table, flat.view(), "logits.npy", 2e-5);
}

TEST_P(Parity, GreedyIds) {
  const ParameterTable table(model_);
  const Tensor flat = weights(table, "init");
  Generator generator(model_, table, flat.view(), stream_);
  const auto g = generator.run(reference_.at("greedy_prompt"), {.sampling = {.temperature = 0}, .max_new_tokens = 24}, 0, {});
  EXPECT_EQ(g.ids, reference_.at("greedy_24").get<std::vector<int32_t>>());
}

TEST_P(Parity, LossAndGradientsOfTheFirstStep) {
  const ParameterTable table(model_);
  const Tensor flat = weights(table, "init");
  const auto data = batches();
  const auto& t = reference_.at("train");
  const int64_t B = t.at("batch"), T = t.at("seq");
  ArenaPlan plan;
  Transformer transformer(model_, {.batch = B, .seq_len = T}, plan);
  const Arena arena(plan, Device{});
  Tensor gradients({table.flat_count()}, DType::fp32), ids({B, T}, DType::i32), targets({B, T}, DType::i32), losses({B * T}, DType::fp32);
  transformer.bind(arena, table, flat.view(), gradients.view());
  for (int64_t b = 0; b < B; ++b) data->sample(b, ids.as<int32_t>() + b * T, targets.as<int32_t>() + b * T);
  transformer.forward_backward(ids.view(), targets.view(), losses.view(), nullptr, stream_);
  double loss = 0;
  for (int64_t i = 0; i < B * T; ++i) loss += double(losses.as<float>()[i]);
  EXPECT_NEAR(loss / double(B * T), t.at("loss")[0].get<double>(), 5e-6);

  // The reference's gradients have the names and layout of weights: read them as a model's.
  const auto folder = std::filesystem::temp_directory_path() / (std::string("tw-parity-") + GetParam());
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(path_ / "grads_step0.safetensors", folder / "model.safetensors", std::filesystem::copy_options::overwrite_existing);
  Tensor want({table.flat_count()}, DType::fp32);
  read_hf_weights(folder, model_, table, want.view());
  std::filesystem::remove_all(folder);
  double worst = 0;
  for (const ParameterInfo& p : table.all())
    for (int64_t i = p.offset; i < p.offset + p.count(); ++i)
      worst = std::max(worst, std::abs(double(gradients.as<float>()[i]) / double(B * T) - double(want.as<float>()[i])));
  EXPECT_LE(worst, 2e-6);
  RecordProperty("gradients_max_abs", std::to_string(worst));
}

TEST_P(Parity, TwentyAdamWSteps) {
  const TrainerOptions options = trainer_options();
  Trainer trainer(options, batches(), *comm_, stream_);
  trainer.set_weights(weights(trainer.table(), "init").view().flat(0, trainer.table().flat_count()));
  const auto& t = reference_.at("train");
  for (int i = 0; i < options.schedule.steps; ++i) {
    const StepResult r = trainer.step();
    EXPECT_NEAR(r.loss, t.at("loss")[size_t(i)].get<double>(), 1e-5) << "step " << i;
    const double norm = t.at("grad_norm_preclip")[size_t(i)];
    EXPECT_NEAR(r.grad_norm, norm, 1e-5 * norm) << "step " << i;
    EXPECT_NEAR(r.lr, t.at("lr")[size_t(i)].get<double>(), 1e-9) << "step " << i;
  }
  const ParameterTable& table = trainer.table();
  const Tensor want = weights(table, "final");
  double worst = 0;
  for (const ParameterInfo& p : table.all()) {
    const bool key_bias = p.name.ends_with("attention.qkv.bias");
    const int64_t H = model_.attention_size();
    for (int64_t i = 0; i < p.count(); ++i) {
      if (key_bias && i >= H && i < 2 * H) continue;  // its true gradient is zero: Adam divides noise by noise
      worst = std::max(worst, std::abs(double(trainer.weights().as<float>()[p.offset + i]) - double(want.as<float>()[p.offset + i])));
    }
  }
  EXPECT_LE(worst, 1e-4);
  RecordProperty("final_weights_max_abs", std::to_string(worst));
  expect_logits(table, trainer.weights(), "logits_after_train.npy", 1e-4);
}

INSTANTIATE_TEST_SUITE_P(PyTorch, Parity, testing::Values("gpt2", "llama_gqa", "llama_tied"));

TEST(PretrainedLlama, GeneratesItsDocumentedText) {
  const auto folder = test_data("model/stories260K-hf");
  if (!folder) GTEST_SKIP() << "the pretrained model is not here (TW_TEST_DATA)";
  const auto reference = nlohmann::json::parse(std::ifstream(*folder / "reference.json"));
  const ModelConfig model = read_hf_config(*folder);
  const ParameterTable table(model);
  Tensor flat({table.flat_count()}, DType::fp32);
  read_hf_weights(*folder, model, table, flat.view());
  ThreadTeam team(2);
  Generator generator(model, table, flat.view(), Stream(team));
  const auto want = reference.at("greedy_from_bos_256").get<std::vector<int32_t>>();
  const auto g = generator.run({want[0]}, {.sampling = {.temperature = 0}, .max_new_tokens = int64_t(want.size()) - 1}, 0, {});
  EXPECT_EQ(g.ids, std::vector<int32_t>(want.begin() + 1, want.end()));
  const auto logits_want = read_float_npy(*folder / "ref_logits_fp32.npy");
  const Tensor logits = generator.logits(reference.at("input_ids"));
  ASSERT_EQ(size_t(logits.count()), logits_want.size());
  for (size_t i = 0; i < logits_want.size(); ++i) ASSERT_NEAR(logits.as<float>()[i], logits_want[i], 1e-4) << i;
}

}  // namespace
}  // namespace tw
