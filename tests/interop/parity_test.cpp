// Against exact references of PyTorch (see the README beside the data for every tolerance).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "comm/self.h"
#include "src/generate/generator.h"
#include "src/interop/hf.h"
#include "src/interop/safetensors.h"
#include "src/train/trainer.h"
#include "tests/support/npy_reader.h"
#include "tests/support/test_device.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {

// The largest difference of a quantity; what is no number differs infinitely.
class Largest {
 public:
  void add(double got, double want, double scale = 1) {
    const double d = std::abs(got - want) / scale;
    if (!(d <= value_)) value_ = std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
  }
  // Fails above `allowed`; a line for people either way.
  void expect_within(double allowed, const std::string& model, const char* quantity) const {
    std::printf("[  PARITY  ] %-12s %-36s %8.1e of %.0e\n", model.c_str(), quantity, value_, allowed);
    EXPECT_LE(value_, allowed) << model << ": " << quantity;
  }

 private:
  double value_ = 0;
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
    Tensor flat = tensor({table.flat_count()}, DType::fp32);
    read_hf_weights(path_ / which, model_, table, flat.view());
    return flat;
  }
  void expect_logits(const ParameterTable& table, ConstView flat, const char* file, double tolerance,
                     const char* quantity) {
    const auto want = read_float_npy(path_ / file);
    Generator generator(model_, table, flat, stream_);
    size_t at = 0;
    Largest worst;
    for (const auto& row : reference_.at("input_ids")) {
      const Tensor logits = generator.logits(row.get<std::vector<int32_t>>());
      for (int64_t i = 0; i < logits.count(); ++i, ++at) worst.add(logits.as<float>()[i], want.at(at));
    }
    EXPECT_EQ(at, want.size());
    worst.expect_within(tolerance, GetParam(), quantity);
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
  // Its true gradient is zero, since it adds the same to all scores of a query: Adam divides noise by noise there.
  bool is_key_bias(const ParameterInfo& p, int64_t i) const {
    const int64_t H = model_.attention_size();
    return p.name.ends_with("attention.qkv.bias") && i >= H && i < 2 * H;
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
  OpStream op_stream_{2};
  Stream stream_{op_stream_};
  Mirror mirror_{stream_};
  std::unique_ptr<Communicator> comm_ = make_self_communicator();
};

TEST_P(Parity, Logits) {
  const ParameterTable table(model_);
  const Tensor flat = weights(table, "init");
  expect_logits(table, mirror_.in(flat.view()), "logits.npy", 2e-5, "logits, max abs");
}

// Mean cross entropy of each position against the next id.
TEST_P(Parity, Loss) {
  const ParameterTable table(model_);
  const Tensor flat = weights(table, "init");
  const auto rows = reference_.at("input_ids").get<std::vector<std::vector<int32_t>>>();
  const int64_t B = int64_t(rows.size()), T = int64_t(rows.at(0).size()) - 1;
  ArenaPlan plan;
  Transformer transformer(model_, {.batch = B, .seq_len = T, .training = false}, plan);
  const Arena arena(plan, stream_.device());
  transformer.bind(arena, table, mirror_.in(flat.view()), View{}, stream_);
  Tensor ids = tensor({B, T}, DType::i32), targets = tensor({B, T}, DType::i32), losses = tensor({B * T}, DType::fp32);
  for (int64_t b = 0; b < B; ++b)
    for (int64_t t = 0; t < T; ++t) {
      ids.as<int32_t>()[b * T + t] = rows[size_t(b)].at(size_t(t));
      targets.as<int32_t>()[b * T + t] = rows[size_t(b)].at(size_t(t) + 1);
    }
  transformer.losses(ids.view(), targets.view(), losses.view(), stream_);
  op_stream_.finish();
  double sum = 0;
  for (int64_t i = 0; i < B * T; ++i) sum += double(losses.as<float>()[i]);
  Largest worst;
  worst.add(sum / double(B * T), reference_.at("loss"));
  worst.expect_within(5e-6, GetParam(), "loss, abs");
}

TEST_P(Parity, GreedyIds) {
  const ParameterTable table(model_);
  const Tensor flat = weights(table, "init");
  Generator generator(model_, table, mirror_.in(flat.view()), stream_);
  const auto g = generator.run(reference_.at("greedy_prompt"), {.sampling = {.temperature = 0}, .max_new_tokens = 24}, 0, {});
  const auto want = reference_.at("greedy_24").get<std::vector<int32_t>>();
  EXPECT_EQ(g.ids, want);
  std::printf("[  PARITY  ] %-12s %-36s %s\n", GetParam(), "greedy ids", g.ids == want ? "equal" : "differ");
}

TEST_P(Parity, LossAndGradientsOfTheFirstStep) {
  const ParameterTable table(model_);
  const Tensor flat = weights(table, "init");
  const auto data = batches();
  const auto& t = reference_.at("train");
  const int64_t B = t.at("batch"), T = t.at("seq");
  ArenaPlan plan;
  Transformer transformer(model_, {.batch = B, .seq_len = T}, plan);
  const Arena arena(plan, stream_.device());
  Tensor gradients = tensor({table.flat_count()}, DType::fp32), ids = tensor({B, T}, DType::i32), targets = tensor({B, T}, DType::i32),
         losses = tensor({B * T}, DType::fp32);
  transformer.bind(arena, table, mirror_.in(flat.view()), mirror_.out(gradients.view()), stream_);
  for (int64_t b = 0; b < B; ++b) data->sample(b, ids.as<int32_t>() + b * T, targets.as<int32_t>() + b * T);
  transformer.forward_backward(ids.view(), targets.view(), losses.view(), nullptr, stream_);
  mirror_.done();
  double loss = 0;
  for (int64_t i = 0; i < B * T; ++i) loss += double(losses.as<float>()[i]);
  Largest loss_difference;
  loss_difference.add(loss / double(B * T), t.at("loss")[0]);
  loss_difference.expect_within(5e-6, GetParam(), "loss of the first step, abs");

  // The reference's gradients have the names and layout of weights: read them as a model's.
  const auto folder = std::filesystem::temp_directory_path() / ("tw-parity-" + std::to_string(::getpid()) + GetParam());
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(path_ / "grads_step0.safetensors", folder / "model.safetensors", std::filesystem::copy_options::overwrite_existing);
  Tensor want({table.flat_count()}, DType::fp32);
  read_hf_weights(folder, model_, table, want.view());
  std::filesystem::remove_all(folder);
  Largest worst, key_bias;
  for (const ParameterInfo& p : table.all())
    for (int64_t i = 0; i < p.count(); ++i) {
      const double got = double(gradients.as<float>()[p.offset + i]) / double(B * T);
      worst.add(got, want.as<float>()[p.offset + i]);
      if (is_key_bias(p, i)) key_bias.add(got, 0);
    }
  worst.expect_within(2e-6, GetParam(), "gradients of the first step, max abs");
  if (model_.type == Architecture::gpt2) key_bias.expect_within(1e-7, GetParam(), "gradients of the key bias");
}

TEST_P(Parity, TwentyAdamWSteps) {
  const TrainerOptions options = trainer_options();
  Trainer trainer(options, batches(), *comm_, stream_);
  trainer.set_weights(weights(trainer.table(), "init").view().flat(0, trainer.table().flat_count()));
  const auto& t = reference_.at("train");
  Largest losses, norms, rates;
  for (int i = 0; i < options.schedule.steps; ++i) {
    const StepResult r = trainer.step();
    const double norm = t.at("grad_norm_preclip")[size_t(i)];
    losses.add(r.loss, t.at("loss")[size_t(i)]);
    norms.add(r.grad_norm, norm, norm);
    rates.add(r.lr, t.at("lr")[size_t(i)]);
  }
  losses.expect_within(1e-5, GetParam(), "training loss of 20 steps, abs");
  norms.expect_within(1e-5, GetParam(), "gradient norm, relative");
  rates.expect_within(1e-9, GetParam(), "learning rate, abs");
  const ParameterTable& table = trainer.table();
  const Tensor want = weights(table, "final");
  Tensor got({trainer.weights().count()}, DType::fp32);
  Staging(stream_).to_host(trainer.weights(), got.view());
  Largest worst;
  for (const ParameterInfo& p : table.all())
    for (int64_t i = 0; i < p.count(); ++i)
      if (!is_key_bias(p, i)) worst.add(got.as<float>()[p.offset + i], want.as<float>()[p.offset + i]);
  worst.expect_within(1e-4, GetParam(), "final weights, max abs");
  expect_logits(table, trainer.weights(), "logits_after_train.npy", 1e-4, "logits after training, max abs");
}

INSTANTIATE_TEST_SUITE_P(PyTorch, Parity, testing::Values("gpt2", "llama_gqa", "llama_tied"));

TEST(PretrainedLlama, GeneratesItsDocumentedText) {
  const auto folder = test_data("model/stories260K-hf");
  if (!folder) GTEST_SKIP() << "the pretrained model is not here (TW_TEST_DATA)";
  const auto reference = nlohmann::json::parse(std::ifstream(*folder / "reference.json"));
  const ModelConfig model = read_hf_config(*folder);
  const ParameterTable table(model);
  Tensor flat = tensor({table.flat_count()}, DType::fp32);
  read_hf_weights(*folder, model, table, flat.view());
  const OpStream stream(2);
  Mirror mirror(stream);
  Generator generator(model, table, mirror.in(flat.view()), stream);
  const auto want = reference.at("greedy_from_bos_256").get<std::vector<int32_t>>();
  const auto g = generator.run({want[0]}, {.sampling = {.temperature = 0}, .max_new_tokens = int64_t(want.size()) - 1}, 0, {});
  EXPECT_EQ(g.ids, std::vector<int32_t>(want.begin() + 1, want.end()));
  const auto logits_want = read_float_npy(*folder / "ref_logits_fp32.npy");
  const Tensor logits = generator.logits(reference.at("input_ids"));
  ASSERT_EQ(size_t(logits.count()), logits_want.size());
  Largest worst;
  for (size_t i = 0; i < logits_want.size(); ++i) worst.add(logits.as<float>()[i], logits_want[i]);
  worst.expect_within(1e-4, "stories260K", "logits, max abs");
}

}  // namespace
}  // namespace tw
