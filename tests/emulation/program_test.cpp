// The whole program on emulated GPUs: what it trains is what the CPU trains, on any number of ranks and by either way
// between them, and what it says where GPUs are missing, few, full or old.
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "src/interop/safetensors.h"
#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {

namespace fs = std::filesystem;

class OnGpus : public Cli {
 protected:
  Words train(const std::string& run, int steps, const Words& more = {}) const {
    return Words{"train", "--out", path(run), "--data.train", path("tokens.u16"), "--model.vocab_size", "61", "--training.threads", "1"} +
           tiny(steps) + more;
  }
  static ProcessOptions gpus(int n, std::vector<std::pair<std::string, std::string>> more = {}) {
    more.emplace_back("TW_EMULATED_GPUS", std::to_string(n));
    return {.environment = more};
  }
  // All weights of a run, as exported.
  std::vector<float> values(const std::string& run) const {
    (void)weights(path(run));
    const SafetensorsFile file(path(run) + "-exported/model.safetensors");
    std::vector<float> all;
    for (const SafetensorsEntry& e : file.entries()) {
      all.resize(all.size() + size_t(e.count()));
      file.read(e, 0, e.count(), all.data() + all.size() - size_t(e.count()));
    }
    return all;
  }
  void expect_said(const Ended& e, int code, const std::string& text) const {
    EXPECT_EQ(e.code, code) << e.err;
    EXPECT_NE(e.err.find(text), std::string::npos) << e.err;
  }
};

TEST_F(OnGpus, TrainWhatTheCpuTrains) {
  raw_tokens();
  for (const Words& model : {Words{}, Words{"--model.type", "llama", "--model.num_key_value_heads", "1"}})
    for (const std::string dtype : {"fp32", "bf16"}) {
      const std::string run = (model.empty() ? "gpt2" : "llama") + dtype;
      const Words more = model + Words{"--training.dtype", dtype};
      const Ended cpu = tokenwerk(train(run + "-cpu", 6, more + Words{"--device", "cpu"}));
      const Ended gpu = tokenwerk(train(run + "-gpu", 6, more + Words{"--device", "cuda"}), gpus(1));
      ASSERT_EQ(cpu.code, 0) << cpu.err;
      ASSERT_EQ(gpu.code, 0) << gpu.err;
      EXPECT_NE(gpu.err.find("rank 0: GPU 0, emulated GPU (GPU-"), std::string::npos) << gpu.err;
      const std::vector<float> a = values(run + "-cpu"), b = values(run + "-gpu");
      ASSERT_EQ(a.size(), b.size());
      double squares = 0, difference = 0;
      for (size_t i = 0; i < a.size(); ++i) squares += double(a[i]) * double(a[i]), difference += std::pow(double(a[i]) - double(b[i]), 2);
      EXPECT_LT(std::sqrt(difference / squares), dtype == "fp32" ? 1e-4 : 3e-2) << run;
    }
}

TEST_F(OnGpus, GiveEqualBitsOnAnyRanksAndByEitherWay) {
  raw_tokens();
  const Words device{"--device", "cuda"};
  ASSERT_EQ(tokenwerk(train("one", 6, device), gpus(1)).code, 0);
  const std::string want = weights(path("one"));
  for (const int n : {1, 2, 4}) {
    const Ended nccl = ranks(n, train("nccl" + std::to_string(n), 6, device), gpus(n));
    ASSERT_EQ(nccl.code, 0) << nccl.err;
    EXPECT_EQ(nccl.err.find("host memory"), std::string::npos) << nccl.err;
    EXPECT_EQ(weights(path("nccl" + std::to_string(n))), want) << n << " ranks";
  }
  const Ended shared = ranks(2, train("shared", 6, {"--device", "cuda-shared"}), gpus(1));
  ASSERT_EQ(shared.code, 0) << shared.err;
  EXPECT_NE(shared.err.find("gradients go through host memory: ranks share a GPU"), std::string::npos) << shared.err;
  EXPECT_EQ(weights(path("shared")), want);
  // Another order of warps, blocks and streams.
  ASSERT_EQ(tokenwerk(train("seed", 6, device), gpus(1, {{"TW_EMULATION_SEED", "77"}})).code, 0);
  EXPECT_EQ(weights(path("seed")), want);
}

TEST_F(OnGpus, GoOnFromACheckpointAndWithTheCpus) {
  raw_tokens();
  const Words device{"--device", "cuda", "--checkpoint.interval", "3"};
  ASSERT_EQ(tokenwerk(train("whole", 8, device), gpus(1)).code, 0);
  ASSERT_EQ(ranks(2, train("stopped", 8, device + Words{"--checkpoint.async", "false"}), gpus(2, {{"TW_FAULT", "train.forward:0:9:error"}})).code, 74);
  const Ended on = tokenwerk(train("stopped", 8, device), gpus(1));
  ASSERT_EQ(on.code, 0) << on.err;
  EXPECT_EQ(weights(path("stopped")), weights(path("whole")));
}

TEST_F(OnGpus, PlainAllReduceAndAllCheckpointingsTrain) {
  raw_tokens();
  for (const Words& more : {Words{"--debug.deterministic", "off", "--parallelism.virtual_ranks", "2"}, Words{"--debug.deterministic", "run", "--parallelism.virtual_ranks", "2"},
                            Words{"--training.activation_checkpointing", "full"}, Words{"--training.activation_checkpointing", "none"}}) {
    const std::string run = "run" + more.back() + more[1];
    const Ended e = ranks(2, train(run, 3, more + Words{"--device", "cuda"}), gpus(2));
    EXPECT_EQ(e.code, 0) << e.err;
  }
}

TEST_F(OnGpus, TheFactoryRunsThere) {
  const Ended e = tokenwerk(Words{"factory", documents(), "--out", path("run"), "--training.threads", "1", "--device", "cuda"} + tiny(8), gpus(1));
  ASSERT_EQ(e.code, 0) << e.err;
  const auto report = json(fs::path(path("run")) / "eval.json");
  const Ended again = tokenwerk({"eval", path("run"), "--device", "cpu", "--data", path("run") + "/tokens/val.h5", "--json"});
  ASSERT_EQ(again.code, 0) << again.err;
  int compared = 0;
  for (const auto& split : report["splits"]) {
    if (split["name"] != "val") continue;
    ++compared;
    EXPECT_NEAR(split["loss"].get<double>(), nlohmann::json::parse(again.out)["splits"][0]["loss"].get<double>(), 1e-4);
  }
  EXPECT_EQ(compared, 1) << report.dump();
}

TEST_F(OnGpus, MissingOnesAreSaidInASentence) {
  raw_tokens();
  const Words cuda{"--device", "cuda"};
  expect_said(tokenwerk(train("a", 2, cuda), gpus(0)), 64, "run.device = \"cuda\": no CUDA device is visible here");
  expect_said(tokenwerk(train("b", 2, cuda), gpus(1, {{"TW_EMULATED_DRIVER", "12040"}})), 64, "the NVIDIA driver is too old: it knows CUDA 12.4");
  expect_said(tokenwerk(train("c", 2, cuda), gpus(1, {{"TW_EMULATED_DRIVER", "0"}})), 64, "no NVIDIA driver is installed here");
  const Ended alone = tokenwerk(train("d", 2), gpus(0));  // auto
  EXPECT_EQ(alone.code, 0) << alone.err;
  expect_said(ranks(2, train("e", 2, cuda), gpus(1)), 64, "ranks 0 and 1 would share one GPU");
  const Ended few = ranks(2, train("f", 2), gpus(1));
  expect_said(few, 0, "this runs on the CPU: ranks 0 and 1 would share one GPU");
  expect_said(tokenwerk(train("g", 2, {"--device", "gpu"}), gpus(1)), 64, "run.device");
}

TEST_F(OnGpus, TooLittleMemoryNamesWhatToChange) {
  raw_tokens();
  const Ended e = tokenwerk(train("full", 2, {"--device", "cuda"}), gpus(1, {{"TW_EMULATED_MEMORY", "300000"}}));
  expect_said(e, 64, "not enough memory on GPU 0");
  expect_said(e, 64, "training.activation_checkpointing");
}

// Once with a launcher that ends the others, once with one that leaves them: then it is NCCL's failure that does, or the watchdog.
TEST_F(OnGpus, ARankThatDiesInAnExchangeEndsThemAll) {
  raw_tokens();
  for (const std::string recovery : {"0", "1"}) {
    const auto start = std::chrono::steady_clock::now();
    const Ended e = ranks(2, train("killed" + recovery, 50, {"--device", "cuda"}),
                          gpus(2, {{"TW_FAULT", "train.backward:1:20"}, {"OMPI_MCA_orte_enable_recovery", recovery}}));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20)) << e.err;
    if (recovery == "0") EXPECT_NE(e.code, 0);
    else EXPECT_TRUE(e.err.find("another rank is gone or its network failed, the exchange was aborted") != std::string::npos ||
                     e.err.find("rank 1 (host") != std::string::npos) << e.err;
  }
}

}  // namespace
}  // namespace tw
