// What eval and generate say of a model that has learned its documents by heart.
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "src/core/rng.h"
#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class ByHeart : public Cli {
 protected:
  // Words in an order that nothing tells but the documents themselves.
  std::string document(uint32_t n) const {
    const Rng rng{7, RngStream::test, n, 0};
    std::string text;
    for (uint64_t i = 0; i < 90; ++i) {
      const uint32_t word = rng.bits(i) % 120;
      const Rng letters{7, RngStream::test, 1000 + word, 0};
      for (uint64_t k = 0; k < 1 + word % 3; ++k) text += std::string(1, "bdfgklmnprstvz"[letters.bits(2 * k) % 14]) + "aeiou"[letters.bits(2 * k + 1) % 5];
      text += " ";
    }
    return text + "end.\n";
  }
};

TEST_F(ByHeart, RecitationDomainsAndNearestPassagesAreTold) {
  for (uint32_t n = 0; n < 40; ++n) write("docs/" + std::string(n % 2 ? "north/" : "south/") + std::to_string(n) + ".txt", document(n));
  const Words model = {"--model.type", "llama", "--model.hidden_size", "64", "--model.num_hidden_layers", "2", "--model.num_attention_heads", "2"};
  const Words rest = {"--tokenizer.vocab_size", "400", "--data.split", "0.6,0.2,0.2", "--training.seq_len", "64", "--data.sample_stride", "13",
                      "--training.micro_batch_size", "8", "--training.steps", "600", "--optimizer.lr", "5e-3", "--optimizer.weight_decay", "0",
                      "--eval.memorisation_prompt", "16", "--eval.memorisation_continuation", "16", "--eval.memorisation_passages", "32",
                      "--generate.max_new_tokens", "24", "--generate.temperature", "0"};
  const Ended made = tokenwerk(Words{"factory", path("docs"), "--out", path("run")} + model + rest);
  ASSERT_EQ(made.code, 0) << made.err;
  const auto eval = json(fs::path(path("run")) / "eval.json");
  const auto& recited = eval["memorisation"];
  EXPECT_EQ(recited["training"]["tested"], 32);
  EXPECT_GE(recited["training"]["recited"], 24) << "learned by heart";
  EXPECT_EQ(recited["held_out"]["recited"], 0) << "never seen";
  ASSERT_FALSE(recited["examples"].empty());
  const std::string from = read_file(fs::path(path("docs")) / recited["examples"][0]["path"].get<std::string>());
  EXPECT_THAT(from, HasSubstr(recited["examples"][0]["text"].get<std::string>()));

  // Each domain's sums are those of the whole.
  const auto& test = eval["splits"].back();
  EXPECT_EQ(test["name"], "test");
  double loss = 0;
  int64_t tokens = 0, bytes = 0, documents = 0;
  std::vector<std::string> names, baselines;
  for (const auto& d : test["domains"]) {
    names.push_back(d["name"]);
    loss += d["loss"].get<double>() * d["tokens"].get<double>();
    tokens += d["tokens"].get<int64_t>(), bytes += d["bytes"].get<int64_t>(), documents += d["documents"].get<int64_t>();
  }
  EXPECT_THAT(names, UnorderedElementsAre("north", "south"));
  EXPECT_EQ(tokens, test["tokens"]);
  EXPECT_EQ(bytes, test["bytes"]);
  EXPECT_EQ(documents, test["documents"]);
  EXPECT_NEAR(loss / double(tokens), test["loss"].get<double>(), 1e-9);
  for (const auto& b : test["baselines"]) baselines.push_back(b["name"]);
  EXPECT_THAT(baselines, ElementsAre("gzip -9", "xz -9", "order-3 n-gram", "order-5 n-gram"));

  // A prompt out of a training document is gone on with as it stands there, and the place is named.
  const auto inventory = json(fs::path(path("run")) / "inventory.json");
  std::string seen;
  for (const auto& f : inventory["files"])
    if (f["state"] == "used" && f["split"] == "train") seen = f["path"];
  const std::string text = read_file(fs::path(path("docs")) / seen);
  const Ended sample = tokenwerk({"generate", path("run"), "--prompt", text.substr(0, text.find(' ', 120)), "--json", "--nearest", "-n", "24", "--greedy"});
  ASSERT_EQ(sample.code, 0) << sample.err;
  const auto samples = nlohmann::json::parse(sample.out);
  ASSERT_TRUE(samples.contains("samples") && samples["samples"][0].contains("nearest")) << sample.out;
  const auto s = samples["samples"][0];
  EXPECT_EQ(s["nearest"]["path"], seen);
  EXPECT_GT(s["nearest"]["longest_match"], 20);
  EXPECT_GT(s["nearest"]["overlap"], 0.5);

  // A second call finds its result; ranks find the same.
  const Ended again = tokenwerk({"eval", path("run")});
  EXPECT_THAT(again.err, HasSubstr("up to date"));
  fs::remove(fs::path(path("run")) / "eval.json");
  ASSERT_EQ(ranks(2, {"eval", path("run")}).code, 0);
  auto spread = json(fs::path(path("run")) / "eval.json"), alone = eval;
  for (auto* e : {&spread, &alone}) e->erase("seconds");
  EXPECT_EQ(spread, alone);
}

}  // namespace
}  // namespace tw
