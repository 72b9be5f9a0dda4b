// Commands one by one: help, settings, generation, inspection.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class Commands : public Cli {};

TEST_F(Commands, HelpHasAnExampleForEach) {
  const Ended overview = tokenwerk({"--help"});
  EXPECT_EQ(overview.code, 0);
  for (const char* name : {"factory", "scan", "tokenize", "train", "eval", "generate", "report", "import", "export", "inspect", "verify"}) {
    EXPECT_THAT(overview.out, HasSubstr(name));
    const Ended help = tokenwerk({name, "--help"});
    EXPECT_EQ(help.code, 0) << name;
    EXPECT_THAT(help.out, HasSubstr(std::string("tokenwerk ") + name)) << name;
    EXPECT_THAT(help.out, HasSubstr("Example")) << name;
  }
}

TEST_F(Commands, StepsAloneMakeWhatTheFactoryMakes) {
  const std::string folder = documents();
  ASSERT_EQ(tokenwerk(Words{"factory", folder, "--out", path("a")} + tiny(8)).code, 0);
  ASSERT_EQ(tokenwerk({"scan", folder, "--out", path("b")}).code, 0);
  ASSERT_EQ(tokenwerk({"tokenize", "--out", path("b"), "--tokenizer.vocab_size", "300"}).code, 0);
  ASSERT_EQ(tokenwerk(Words{"train", "--out", path("b")} + tiny(8)).code, 0);
  ASSERT_EQ(tokenwerk({"eval", path("b")}).code, 0);
  const Ended report = tokenwerk({"report", path("b")});
  EXPECT_EQ(report.code, 0) << report.err;
  EXPECT_EQ(weights(path("a")), weights(path("b")));
  EXPECT_EQ(json(fs::path(path("a")) / "eval.json")["splits"][0]["loss"], json(fs::path(path("b")) / "eval.json")["splits"][0]["loss"]);
  EXPECT_LT(fs::file_size(fs::path(path("b")) / "report.html"), 1u << 20);
  const auto both = nlohmann::json::parse(tokenwerk({"report", path("a"), path("b"), "--json"}).out);
  EXPECT_EQ(both["runs"].size(), 2u);
  EXPECT_EQ(both["runs"][0]["training_loss"], both["runs"][1]["training_loss"]);
  EXPECT_EQ(tokenwerk({"report", path("a"), path("b"), "--out", path("both.html")}).code, 0);
  EXPECT_TRUE(fs::exists(path("both.html")));
}

TEST_F(Commands, Int8WeightsGenerateAndAreEvaluated) {
  for (const char* type : {"gpt2", "llama"}) {
    const std::string run = path(type);
    ASSERT_EQ(tokenwerk(Words{"factory", documents(), "--out", run, "--model.type", type} + tiny(30)).code, 0);
    const auto generate = [&](const Words& more) {
      return tokenwerk(Words{"generate", run, "-p", "the pump", "-n", "12", "--seed", "1", "--json"} + more);
    };
    const Ended int8 = generate({"--quantization", "int8"});
    ASSERT_EQ(int8.code, 0) << int8.err;
    const auto made = nlohmann::json::parse(int8.out), again = nlohmann::json::parse(generate({"--generate.quantization", "int8"}).out);
    EXPECT_EQ(made["samples"][0]["text"], again["samples"][0]["text"]) << "the option is the setting";
    EXPECT_EQ(made["dtype"], "fp32, int8 weights");
    EXPECT_GT(made["samples"][0]["tokens"], 0);
    const auto loss = [&](const Words& more) {
      const Ended e = tokenwerk(Words{"eval", run, "--data", (fs::path(run) / "tokens" / "val.h5").string(), "--json"} + more);
      EXPECT_EQ(e.code, 0) << e.err;
      return nlohmann::json::parse(e.out)["splits"][0]["loss"].get<double>();
    };
    const double before = loss({}), after = loss({"--quantization", "int8"});
    EXPECT_NE(before, after);
    EXPECT_NEAR(after, before, 0.01 * before) << type;
    // The run's own evaluation is made again where the weights are others.
    EXPECT_EQ(json(fs::path(run) / "eval.json")["dtype"], "fp32");
    ASSERT_EQ(tokenwerk({"eval", run, "--quantization", "int8"}).code, 0);
    EXPECT_EQ(json(fs::path(run) / "eval.json")["dtype"], "fp32, int8 weights");
  }
  const Ended bad = tokenwerk({"generate", path("gpt2"), "-p", "x", "--quantization", "int4"});
  EXPECT_EQ(bad.code, 64);
  EXPECT_THAT(bad.err, HasSubstr("generate.quantization"));
  EXPECT_EQ(tokenwerk({"eval", path("gpt2"), "--quantization", "int4"}).code, 64);
}

TEST_F(Commands, BenchTimesGeneration) {
  const Words model = {"--model.vocab_size", "61", "--model.hidden_size", "64", "--model.num_hidden_layers", "1", "--model.num_attention_heads", "2"};
  const Ended e = tokenwerk(Words{"bench", "--generate", "--tokens", "9", "--json", "--generate.quantization", "int8"} + model);
  ASSERT_EQ(e.code, 0) << e.err;
  const auto g = nlohmann::json::parse(e.out)["generation"];
  EXPECT_EQ(g["quantization"], "int8");
  EXPECT_EQ(g["token_seconds"]["repeats"], 9);
  EXPECT_GT(g["weight_bytes_per_second"], 0);
  EXPECT_EQ(tokenwerk({"bench", "--generate", "--tokens", "0"}).code, 64);
  EXPECT_EQ(tokenwerk(Words{"bench", "--generate", "--plain"} + model).code, 64);
}

TEST_F(Commands, GenerateStreamsRepeatsAndObeys) {
  ASSERT_EQ(tokenwerk(Words{"factory", documents(), "--out", path("run")} + tiny(30)).code, 0);
  const auto generate = [&](const Words& more) { return tokenwerk(Words{"generate", path("run"), "-p", "the pump", "-n", "12"} + more); };
  const Ended a = generate({"--seed", "1"}), b = generate({"--seed", "1"}), c = generate({"--seed", "2", "--temperature", "2"});
  ASSERT_EQ(a.code, 0) << a.err;
  EXPECT_TRUE(a.out.starts_with("the pump")) << a.out;
  EXPECT_EQ(a.out, b.out);
  EXPECT_NE(a.out, c.out);
  EXPECT_EQ(generate({"--temperature", "0"}).out, generate({"--top-k", "1"}).out) << "one candidate is the greedy one";
  const auto two = nlohmann::json::parse(generate({"-p", "valve", "--samples", "2", "--json"}).out);
  EXPECT_EQ(two["samples"].size(), 4u);
  EXPECT_EQ(two["samples"][0]["prompt"], "the pump");
}

TEST_F(Commands, SettingsOfAFileAreOverriddenAndTheirOriginsSaved) {
  const std::string tokens = raw_tokens();
  write("base.toml", "[training]\nsteps = 9\nseq_len = 16\n");
  write("run.toml", "include = \"base.toml\"\n[model]\nvocab_size = 61\nhidden_size = 32\nnum_hidden_layers = 1\nnum_attention_heads = 2\n"
                    "[training]\nmicro_batch_size = 2\n");
  const Ended e = tokenwerk({"train", path("run.toml"), "--run.dir", path("run"), "--data.train", tokens, "--training.steps=2", "--json"});
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_EQ(nlohmann::json::parse(e.out)["step"], 2);
  const std::string saved = read_file(fs::path(path("run")) / "config.toml");
  EXPECT_THAT(saved, HasSubstr("steps = 2  # command line"));
  EXPECT_THAT(saved, HasSubstr("seq_len = 16  # " + path("base.toml") + ":3:"));
  EXPECT_THAT(saved, HasSubstr("intermediate_size = 128  # derived"));
}

TEST_F(Commands, InspectTellsWhatThingsAre) {
  ASSERT_EQ(tokenwerk(Words{"factory", documents(), "--out", path("run")} + tiny(4)).code, 0);
  const auto kind = [&](const fs::path& p) {
    const Ended e = tokenwerk({"inspect", p, "--json"});
    EXPECT_EQ(e.code, 0) << p << e.err;
    return nlohmann::json::parse(e.out)["kind"].get<std::string>();
  };
  EXPECT_EQ(kind(path("run")), "run");
  EXPECT_EQ(kind(fs::path(path("run")) / "checkpoints"), "checkpoint");
  EXPECT_EQ(kind(fs::path(path("run")) / "tokens/train.h5"), "token file");
  EXPECT_EQ(kind(fs::path(path("run")) / "tokenizer.json"), "tokenizer");
  ASSERT_EQ(tokenwerk({"export", path("run"), "--out", path("hf"), "--dtype", "bf16"}).code, 0);
  EXPECT_EQ(kind(path("hf")), "hugging face");
  EXPECT_EQ(kind(fs::path(path("hf")) / "model.safetensors"), "safetensors");
  EXPECT_THAT(tokenwerk({"inspect", fs::path(path("run")) / "tokens/val.h5"}).out, HasSubstr("documents"));
}

}  // namespace
}  // namespace tw
