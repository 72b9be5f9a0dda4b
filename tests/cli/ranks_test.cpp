// Any number of ranks, the same weights.
#include <nlohmann/json.hpp>

#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {

namespace fs = std::filesystem;

class Ranks : public Cli {
 protected:
  Words train(const std::string& run, int steps) const {
    return Words{"train", "--out", path(run), "--data.train", path("tokens.u16"), "--model.vocab_size", "61",
                 "--training.threads", "1"} + tiny(steps);
  }
};

TEST_F(Ranks, GiveEqualBits) {
  raw_tokens();
  std::string want;
  for (const int n : {1, 2, 4}) {
    const std::string run = "ranks" + std::to_string(n);
    const Ended e = ranks(n, train(run, 12));
    ASSERT_EQ(e.code, 0) << e.err;
    const std::string hash = weights(path(run));
    if (want.empty()) want = hash;
    EXPECT_EQ(hash, want) << n << " ranks";
  }
  // Stopped on 4 and gone on with 2: the schedule's length is that of the whole run.
  ASSERT_EQ(ranks(4, train("changed", 12) + Words{"--checkpoint.interval", "5", "--checkpoint.async", "false"}, {.environment = {{"TW_FAULT", "train.forward:2:7:error"}}}).code, 74);
  const Ended e = ranks(2, train("changed", 12) + Words{"--checkpoint.interval", "5"});
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_EQ(weights(path("changed")), want);
}

TEST_F(Ranks, AStoppedRunRoundsByChanceAsIfItHadNot) {
  raw_tokens();
  const Words more{"--checkpoint.interval", "4", "--checkpoint.async", "false", "--training.dtype", "bf16", "--optimizer.stochastic_rounding", "true"};
  ASSERT_EQ(tokenwerk(train("whole", 9) + more).code, 0);
  ASSERT_EQ(ranks(2, train("stopped", 9) + more, {.environment = {{"TW_FAULT", "train.forward:0:13:error"}}}).code, 74);
  const Ended e = tokenwerk(train("stopped", 9) + more);
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_EQ(weights(path("stopped")), weights(path("whole")));
}

TEST_F(Ranks, ThreadsChangeNoBit) {
  raw_tokens();
  const Ended one = tokenwerk(train("one", 6));
  ASSERT_EQ(one.code, 0) << one.err;
  const Ended three = tokenwerk(train("three", 6) + Words{"--training.threads", "3"});
  ASSERT_EQ(three.code, 0) << three.err;
  EXPECT_EQ(weights(path("one")), weights(path("three")));
}

TEST_F(Ranks, TheFactoryRunsOnThemAll) {
  const std::string folder = documents();
  const Ended e = ranks(2, Words{"factory", folder, "--out", path("two"), "--training.threads", "1"} + tiny(20));
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_EQ(json(fs::path(path("two")) / "train.json")["ranks"], 2);
  EXPECT_TRUE(json(fs::path(path("two")) / "train.json")["exchange"].is_object()) << "what the exact sum costs is measured";
  const Ended one = tokenwerk(Words{"factory", folder, "--out", path("one"), "--training.threads", "1"} + tiny(20));
  ASSERT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(weights(path("one")), weights(path("two")));
  EXPECT_EQ(json(fs::path(path("one")) / "eval.json")["splits"][0]["loss"], json(fs::path(path("two")) / "eval.json")["splits"][0]["loss"]);
}

TEST_F(Ranks, AnErrorIsSaidOnceAndKeepsItsCode) {
  const Ended e = ranks(2, Words{"train", "--out", path("run"), "--data.train", path("missing.u16"), "--model.vocab_size", "61"} + tiny(3));
  EXPECT_EQ(e.code, 66) << e.err;
  EXPECT_EQ(json(fs::path(path("run")) / "status.json")["exit_code"], 66);
  const size_t at = e.err.find("missing.u16");
  ASSERT_NE(at, std::string::npos) << e.err;
  EXPECT_EQ(e.err.find("missing.u16", at + 1), std::string::npos) << e.err;
}

}  // namespace
}  // namespace tw
