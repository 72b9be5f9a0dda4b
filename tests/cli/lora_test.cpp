// Low-rank adapters as a user trains, uses and hands on them.
#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/interop/safetensors.h"
#include "tests/cli/cli_fixture.h"
#include "tests/support/npy_reader.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

class Lora : public Cli {
 protected:
  // A model of its own, all weights of which are trained.
  void make_model() const {
    raw_tokens();
    const Ended e = tokenwerk(Words{"train", "--out", path("model"), "--data.train", path("tokens.u16"), "--model.vocab_size", "61"} + tiny(6));
    ASSERT_EQ(e.code, 0) << e.err;
  }
  // The model's settings are those of the weights it begins with.
  Words tune(const std::string& run, int steps) const {
    return {"train", "--out", path(run), "--checkpoint.init_from", path("model"), "--data.train", path("tokens.u16"), "--lora.rank", "4",
            "--training.threads", "1", "--training.seq_len", "16", "--training.micro_batch_size", "2", "--training.steps", std::to_string(steps),
            "--optimizer.lr", "1e-2", "--parallelism.virtual_ranks", "4", "--parallelism.bucket_cap_mb", "0.02"};
  }
  static std::vector<float> tensor(const SafetensorsFile& file, const std::string& name) {
    const SafetensorsEntry* e = file.find(name);
    EXPECT_TRUE(e) << name;
    std::vector<float> values(e ? size_t(e->count()) : 0);
    if (e) file.read(*e, 0, e->count(), values.data());
    return values;
  }
  void refused(const Words& words, int code, const std::string& text) const {
    const Ended e = tokenwerk(words);
    EXPECT_EQ(e.code, code) << e.err;
    EXPECT_THAT(e.err, HasSubstr(text));
  }
};

TEST_F(Lora, AModelIsTunedUsedAndHandedOn) {
  make_model();
  const Ended e = tokenwerk(tune("tuned", 12) + Words{"--data.val", path("tokens.u16"), "--eval.steps", "8", "--lora.alpha", "8"});
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_THAT(e.err, HasSubstr("adapters of rank 4, alpha 8, on all linear layers of the blocks"));
  const auto metrics = steps(path("tuned"));
  ASSERT_EQ(metrics.size(), 12u);
  EXPECT_LT(metrics.back()["loss"].get<double>(), metrics.front()["loss"].get<double>());
  const auto record = json(path("tuned/train.json"));
  EXPECT_EQ(record["adapters"]["rank"], 4);
  EXPECT_GT(record["parameters"].get<int64_t>(), record["adapters"]["trained_parameters"].get<int64_t>());
  EXPECT_EQ(record["parameters"], json(path("model/train.json"))["parameters"]);
  EXPECT_LT(record["flops_per_token"].get<double>(), json(path("model/train.json"))["flops_per_token"].get<double>());
  // The run holds all it needs.
  fs::rename(path("model"), path("away"));
  write("ids.txt", "1 8 43 35");
  ASSERT_EQ(tokenwerk({"export", path("tuned"), "--out", path("merged")}).code, 0);
  ASSERT_EQ(tokenwerk({"export", path("tuned"), "--adapter", "--out", path("peft")}).code, 0);
  const Ended made = tokenwerk({"generate", path("tuned"), "--ids", path("ids.txt"), "--greedy", "-n", "6", "--print-ids"});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_EQ(tokenwerk({"generate", path("merged"), "--ids", path("ids.txt"), "--greedy", "-n", "6", "--print-ids"}).out, made.out);
  const Ended report = tokenwerk({"report", path("tuned")});
  ASSERT_EQ(report.code, 0) << report.err;
  EXPECT_THAT(read_file(path("tuned/report.html")), HasSubstr("were trained, in adapters"));
  EXPECT_EQ(tokenwerk({"verify", path("tuned")}).code, 0);
  const auto seen = nlohmann::json::parse(tokenwerk({"inspect", path("tuned"), "--json"}).out);
  EXPECT_EQ(seen["checkpoints"][0]["adapters"]["rank"], 4);
  EXPECT_EQ(seen["bases"].size(), 1u);
  EXPECT_EQ(seen["checkpoints"][0]["base"], record["adapters"]["base"]);

  // What was exported, read back: W0 + alpha / r B A is the merged model.
  const fs::path base = *fs::directory_iterator(path("tuned/checkpoints/base"));
  ASSERT_EQ(tokenwerk({"export", base, "--out", path("base")}).code, 0);
  const SafetensorsFile before(fs::path(path("base")) / "model.safetensors"), after(fs::path(path("merged")) / "model.safetensors"),
      adapters(fs::path(path("peft")) / "adapter_model.safetensors");
  const auto config = json(path("peft/adapter_config.json"));
  EXPECT_EQ(config["peft_type"], "LORA");
  EXPECT_EQ(config["r"], 4);
  EXPECT_EQ(config["lora_alpha"], 8);
  size_t adapted = 0;
  for (const SafetensorsEntry& entry : before.entries()) {
    const std::vector<float> w0 = tensor(before, entry.name), w = tensor(after, entry.name);
    const std::string module = "base_model.model." + entry.name.substr(0, entry.name.rfind('.'));
    if (!entry.name.ends_with(".weight") || !adapters.find(module + ".lora_A.weight")) {
      EXPECT_EQ(w, w0) << entry.name << " is frozen";
      continue;
    }
    ++adapted;
    const std::vector<float> a = tensor(adapters, module + ".lora_A.weight"), b = tensor(adapters, module + ".lora_B.weight");
    const size_t in = a.size() / 4, out = b.size() / 4;
    // GPT-2's weights are stored [in, out].
    const bool transposed = config["fan_in_fan_out"].get<bool>();
    ASSERT_EQ(w.size(), in * out) << entry.name;
    for (size_t o = 0; o < out; ++o)
      for (size_t i = 0; i < in; ++i) {
        double want = double(w0[transposed ? i * out + o : o * in + i]);
        for (size_t r = 0; r < 4; ++r) want += 8.0 / 4 * double(b[o * 4 + r]) * double(a[r * in + i]);
        ASSERT_NEAR(w[transposed ? i * out + o : o * in + i], want, 1e-5) << entry.name;
      }
  }
  EXPECT_EQ(2 * adapted, adapters.entries().size()) << "every adapter has its weight";
  // And the tuned run is a model to begin with.
  fs::rename(path("away"), path("model"));
  Words again = tune("again", 2);
  again[4] = path("tuned");
  const Ended second = tokenwerk(again);
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_NE(json(path("again/train.json"))["adapters"]["base"], record["adapters"]["base"]) << "the merged weights are its base";
}

TEST_F(Lora, RanksAndKillsChangeNoBit) {
  make_model();
  std::string want;
  for (const int n : {1, 2, 4}) {
    const Ended e = ranks(n, tune("ranks" + std::to_string(n), 10));
    ASSERT_EQ(e.code, 0) << e.err;
    const std::string hash = weights(path("ranks" + std::to_string(n)));
    if (want.empty()) want = hash;
    EXPECT_EQ(hash, want) << n << " ranks";
  }
  const Words saving{"--checkpoint.interval", "4", "--checkpoint.async", "false"};
  EXPECT_NE(ranks(4, tune("killed", 10) + saving, {.environment = {{"TW_FAULT", "train.forward:1:7:kill"}}}).code, 0);
  // What it was started from is not needed any more, and neither are its settings of adapters.
  fs::remove_all(path("model"));
  Words more = tune("killed", 10) + saving;
  more.erase(more.begin() + 7, more.begin() + 9);
  ASSERT_EQ(more[6], path("tokens.u16"));
  const Ended e = ranks(2, more);
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_THAT(e.err, HasSubstr("going on from"));
  EXPECT_EQ(weights(path("killed")), want);
}

TEST_F(Lora, AKillWhileTheBaseIsSavedCostsNothing) {
  make_model();
  ASSERT_EQ(tokenwerk(tune("whole", 3)).code, 0);
  for (const char* point : {"checkpoint.before_layout", "checkpoint.before_manifest", "checkpoint.after_commit"}) {
    const std::string run = "killed" + std::to_string(std::string(point).size());
    EXPECT_NE(tokenwerk(tune(run, 3), {.environment = {{"TW_FAULT", std::string(point) + ":0:1:kill"}}}).code, 0) << point;
    const Ended e = tokenwerk(tune(run, 3));
    ASSERT_EQ(e.code, 0) << point << e.err;
    EXPECT_EQ(weights(path(run)), weights(path("whole"))) << point;
    EXPECT_EQ(tokenwerk({"verify", path(run)}).code, 0) << point;
  }
}

TEST_F(Lora, WhatCannotBeIsRefusedByName) {
  make_model();
  Words none = tune("none", 2);
  none.erase(none.begin() + 3, none.begin() + 5);
  refused(none, 64, "name it with checkpoint.init_from");
  refused(tune("none", 2) + Words{"--lora.targets", "heads"}, 64, "lora.targets");
  refused(tune("none", 2) + Words{"--lora.rank", "-1"}, 64, "lora.rank");
  refused(tune("none", 2) + Words{"--lora.alpha", "0"}, 64, "lora.alpha");
  Words inside = tune("model", 8);
  refused(inside, 64, "is of a run that trains all weights");
  refused({"export", path("model"), "--adapter", "--out", path("peft")}, 64, "has no adapters");
  refused({"bench", "--lora.rank", "4"}, 64, "leave lora.rank out");
  ASSERT_EQ(tokenwerk(tune("tuned", 2)).code, 0);
  refused(tune("tuned", 4) + Words{"--lora.rank", "8"}, 64, "lora.rank = 8, but the checkpoint's adapters were made with 4");
  refused(tune("tuned", 4) + Words{"--lora.targets", "mlp"}, 64, "lora.targets");
  ASSERT_EQ(tokenwerk(tune("tuned", 4)).code, 0) << "and it goes on as it is";
  // Damage and loss of the base.
  const fs::path base = *fs::directory_iterator(path("tuned/checkpoints/base")), checkpoint = *fs::directory_iterator(base);
  const std::string shard = read_file(checkpoint / "shard-0000-of-0001.h5");
  std::string damaged = shard;
  damaged[damaged.size() / 2] = char(damaged[damaged.size() / 2] ^ 4);
  write_file_atomically(checkpoint / "shard-0000-of-0001.h5", damaged);
  refused({"generate", path("tuned"), "--ids", "ids.txt"}, 65, "cannot be used");
  refused({"verify", path("tuned")}, 65, "damaged");
  refused(tune("tuned", 6), 65, "cannot be used");
  write_file_atomically(checkpoint / "shard-0000-of-0001.h5", shard);
  EXPECT_EQ(tokenwerk({"verify", path("tuned")}).code, 0);
  fs::rename(base, path("elsewhere"));
  refused({"export", path("tuned"), "--out", path("out")}, 65, "copy the folder base along");
  EXPECT_EQ(tokenwerk({"inspect", path("tuned")}).code, 65);
}

TEST_F(Lora, NewTokensAreRefusedBeforeAnythingIsTrained) {
  ASSERT_EQ(tokenwerk(Words{"factory", documents(), "--out", path("text")} + tiny(4)).code, 0);
  write("answers/a.jsonl", R"({"messages": [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "It is here."}]})" "\n"
                           R"({"messages": [{"role": "user", "content": "And who is there?"}, {"role": "assistant", "content": "Nobody at all."}]})" "\n");
  const Words words{"factory", path("answers"), "--out", path("run"), "--tokenizer.path", path("text/tokenizer.json"), "--checkpoint.init_from", path("text"),
                    "--training.steps", "2", "--training.seq_len", "16", "--lora.rank", "2", "--data.near_duplicates", "0"};
  refused(words, 64, "adapters cannot learn the embeddings of new ones");
  // The way the message names: all weights first, in a run of their own, then adapters.
  Words whole = words;
  whole[3] = path("first"), whole.erase(whole.end() - 4, whole.end() - 2);
  const Ended first = tokenwerk(whole);
  ASSERT_EQ(first.code, 0) << first.err;
  Words then = words;
  then[7] = path("first"), then[5] = path("first/tokenizer.json");
  const Ended second = tokenwerk(then);
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_EQ(json(path("run/train.json"))["adapters"]["rank"], 2);
  EXPECT_EQ(tokenwerk({"generate", path("run"), "--chat", "--prompt", "hello", "-n", "4"}).code, 0);
}

TEST_F(Lora, AnImportedRunAndACheckpointFromElsewhereBringTheirBaseAlong) {
  make_model();
  ASSERT_EQ(tokenwerk({"export", path("model"), "--out", path("hf")}).code, 0);
  ASSERT_EQ(tokenwerk({"import", path("hf"), "--out", path("imported")}).code, 0);
  Words words = tune("imported", 3);
  words.erase(words.begin() + 3, words.begin() + 5);
  const Ended e = tokenwerk(words);
  ASSERT_EQ(e.code, 0) << e.err;
  Words direct = tune("direct", 3);
  direct[4] = path("hf");
  ASSERT_EQ(tokenwerk(direct).code, 0);
  EXPECT_EQ(weights(path("imported")), weights(path("direct")));
  // Gone on with in another folder, which then needs the first no more.
  words = tune("other", 6), words.erase(words.begin() + 3, words.begin() + 5);
  ASSERT_EQ(tokenwerk(words + Words{"--checkpoint.resume", path("direct/checkpoints")}).code, 0);
  fs::remove_all(path("direct"));
  EXPECT_EQ(steps(path("other")).size(), 3u);
  EXPECT_EQ(tokenwerk({"verify", path("other")}).code, 0);
  EXPECT_EQ(tokenwerk({"export", path("other"), "--out", path("out")}).code, 0);
}

// The same adapters, data and optimiser in PEFT 0.21 on PyTorch 2.15 (tests/interop/peft_peer.py, whose head says how): losses of 20 steps.
struct Peer {
  const char* model;
  int batch, seq;
  const char *lr, *data;
  std::vector<double> loss, norm;
};
class LoraParity : public Cli, public testing::WithParamInterface<Peer> {};

TEST_P(LoraParity, LossesAreThoseOfPeft) {
  const Peer& peer = GetParam();
  const auto folder = test_data(std::string("parity/") + peer.model);
  if (!folder) GTEST_SKIP() << "the PyTorch references are not here (TW_TEST_DATA)";
  const Ended e = tokenwerk({"train", "--out", path("run"), "--checkpoint.init_from", *folder / "init", "--data.train", *folder / peer.data, "--data.raw_bits", "16",
                             "--data.shuffle", "false", "--data.sample_stride", std::to_string(peer.seq + 1), "--training.seq_len", std::to_string(peer.seq),
                             "--training.micro_batch_size", std::to_string(peer.batch), "--training.steps", "20", "--optimizer.lr", peer.lr,
                             "--lr_scheduler.type", "constant", "--lora.rank", "4"});
  ASSERT_EQ(e.code, 0) << e.err;
  const auto metrics = steps(path("run"));
  ASSERT_EQ(metrics.size(), 20u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_NEAR(metrics[i]["loss"].get<double>(), peer.loss[i], 1e-5 * peer.loss[i]) << "step " << i + 1;
    EXPECT_NEAR(metrics[i]["grad_norm"].get<double>(), peer.norm[i], 1e-5 * peer.norm[i]) << "step " << i + 1;
  }
}

const Peer kGpt2{"gpt2", 3, 28, "2e-3", "train_tokens_u16le_20x3x29.bin",
                 {5.319067, 5.377429, 5.528841, 5.231588, 4.970576, 4.988595, 4.88552, 4.886026, 4.762747, 4.904194, 4.64639, 4.816518, 4.643058,
                  4.720858, 4.810623, 4.846059, 4.678719, 4.935121, 4.569213, 4.65857},
                 {2.661821, 1.749513, 1.823247, 1.813419, 1.664578, 1.610974, 1.105122, 1.258456, 0.8604141, 0.826353, 0.7228585, 0.6593542,
                  0.8800041, 1.410051, 1.134707, 0.7180359, 0.655782, 2.101475, 1.26407, 1.033398}};
const Peer kLlama{"llama_gqa", 5, 24, "3e-3", "train_tokens_u16le_20x5x25.bin",
                 {6.103102, 5.816463, 5.899683, 5.611581, 5.393984, 5.494628, 5.274192, 5.102952, 4.980932, 4.792089, 4.799304, 4.561143, 4.480275,
                  4.354769, 4.347491, 4.394865, 4.268867, 4.103266, 4.124407, 4.359839},
                 {1.64944, 2.009901, 1.710806, 2.786155, 1.675898, 2.465938, 2.191125, 2.096107, 1.909679, 2.047525, 1.962335, 1.993847, 2.018932,
                  2.214006, 1.844865, 1.696684, 1.645607, 1.840557, 1.98503, 2.919202}};
INSTANTIATE_TEST_SUITE_P(Peft, LoraParity, testing::Values(kGpt2, kLlama), [](const auto& info) { return std::string(info.param.model); });

}  // namespace
}  // namespace tw
