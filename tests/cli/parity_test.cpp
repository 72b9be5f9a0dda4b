// What anybody can repeat from outside: the references of PyTorch, by command line alone.
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "src/core/file.h"
#include "tests/cli/cli_fixture.h"
#include "tests/support/npy_reader.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

class CliParity : public Cli, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    const auto folder = test_data(std::string("parity/") + GetParam());
    if (!folder) GTEST_SKIP() << "the PyTorch references are not here (TW_TEST_DATA)";
    data_ = *folder;
    reference_ = json(data_ / "reference.json");
  }
  std::string ids_file(const nlohmann::json& rows) const {
    std::string text;
    for (const auto& row : rows) {
      for (const auto& id : row) text += std::to_string(id.get<int>()) + " ";
      text += "\n";
    }
    write("ids.txt", text);
    return path("ids.txt");
  }
  double largest_difference(const std::string& model, const char* want_file) const {
    const Ended e = tokenwerk({"eval", model, "--ids", ids_file(reference_["input_ids"]), "--logits", path("logits.npy")});
    EXPECT_EQ(e.code, 0) << e.err;
    const auto got = read_float_npy(path("logits.npy")), want = read_float_npy(data_ / want_file);
    EXPECT_EQ(got.size(), want.size());
    double worst = 0;
    for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) worst = std::max(worst, std::abs(double(got[i]) - double(want[i])));
    return worst;
  }
  fs::path data_;
  nlohmann::json reference_;
};

TEST_P(CliParity, ImportLogitsGreedyIdsTrainingAndExport) {
  const std::string imported = path("imported");
  ASSERT_EQ(tokenwerk({"import", data_ / "init", "--out", imported}).code, 0);
  EXPECT_LE(largest_difference(imported, "logits.npy"), 2e-5);

  const Ended greedy = tokenwerk({"generate", imported, "--ids", ids_file(nlohmann::json::array({reference_["greedy_prompt"]})), "--greedy", "-n", "24", "--print-ids"});
  ASSERT_EQ(greedy.code, 0) << greedy.err;
  std::istringstream words(greedy.out);
  const std::vector<int> ids(std::istream_iterator<int>(words), {});
  EXPECT_EQ(ids, reference_["greedy_24"].get<std::vector<int>>());

  const auto& t = reference_["train"];
  const auto text = [](const nlohmann::json& v) { return v.dump(); };
  const int64_t seq = t["seq"];
  const double min_ratio = t["min_lr"].get<double>() / t["max_lr"].get<double>();
  const Ended trained = tokenwerk(
      {"train", "--out", path("trained"), "--checkpoint.init_from", imported, "--data.train", data_ / t["data"].get<std::string>(),
       "--data.raw_bits", "16", "--data.shuffle", "false", "--data.sample_stride", std::to_string(seq + 1), "--training.seq_len",
       std::to_string(seq), "--training.micro_batch_size", text(t["batch"]), "--training.steps", text(t["steps"]),
       "--training.max_grad_norm", text(t["clip_norm"]), "--optimizer.lr", text(t["max_lr"]), "--lr_scheduler.min_lr_ratio",
       nlohmann::json(min_ratio).dump(), "--lr_scheduler.warmup_steps", text(t["warmup_steps"]), "--optimizer.beta1", text(t["betas"][0]),
       "--optimizer.beta2", text(t["betas"][1]), "--optimizer.eps", text(t["eps"]), "--optimizer.weight_decay", text(t["weight_decay"])});
  ASSERT_EQ(trained.code, 0) << trained.err;
  const auto metrics = steps(path("trained"));
  ASSERT_EQ(metrics.size(), size_t(t["steps"]));
  for (size_t i = 0; i < metrics.size(); ++i) {
    EXPECT_NEAR(metrics[i]["loss"], t["loss"][i].get<double>(), 1e-5) << i;
    const double norm = t["grad_norm_preclip"][i];
    EXPECT_NEAR(metrics[i]["grad_norm"], norm, 1e-5 * norm) << i;
  }
  EXPECT_LE(largest_difference(path("trained"), "logits_after_train.npy"), 1e-4);

  ASSERT_EQ(tokenwerk({"export", imported, "--out", path("hf")}).code, 0);
  ASSERT_EQ(tokenwerk({"export", data_ / "init", "--out", path("direct")}).code, 0);
  EXPECT_LE(largest_difference(path("hf"), "logits.npy"), 2e-5);
  EXPECT_EQ(read_file(fs::path(path("hf")) / fs::path("model.safetensors")), read_file(fs::path(path("direct")) / fs::path("model.safetensors")));
}

INSTANTIATE_TEST_SUITE_P(PyTorch, CliParity, testing::Values("gpt2", "llama_gqa", "llama_tied"));

class Pretrained : public Cli {};

TEST_F(Pretrained, LlamaTellsItsStory) {
  const auto folder = test_data("model/stories260K-hf");
  if (!folder) GTEST_SKIP() << "the pretrained model is not here (TW_TEST_DATA)";
  const auto reference = json(*folder / "reference.json");
  const auto want = reference["greedy_from_bos_256"].get<std::vector<int>>();
  write("bos.txt", std::to_string(want[0]));
  const Ended e = tokenwerk({"generate", *folder, "--ids", path("bos.txt"), "--greedy", "--ignore-eos", "-n",
                             std::to_string(want.size() - 1), "--print-ids"});
  ASSERT_EQ(e.code, 0) << e.err;
  std::istringstream words(e.out);
  EXPECT_EQ(std::vector<int>(std::istream_iterator<int>(words), {}), std::vector<int>(want.begin() + 1, want.end()));
}

}  // namespace
}  // namespace tw
