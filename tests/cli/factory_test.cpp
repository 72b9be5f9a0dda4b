// From a folder of documents to a report, interrupted in every way a user would.
#include <gmock/gmock.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

class Factory : public Cli {};

TEST_F(Factory, MakesAWholeRunAndASecondCallKeepsIt) {
  const Words words = Words{"factory", documents(), "--out", path("run"), "--checkpoint.interval", "20"} + tiny(60);
  const Ended first = tokenwerk(words);
  ASSERT_EQ(first.code, 0) << first.err;
  const fs::path run = path("run");
  for (const char* file : {"config.toml", "inventory.json", "tokenizer.json", "tokens/train.h5", "tokens/val.h5", "tokens/test.h5",
                           "metrics.jsonl", "phases.json", "train.json", "eval.json", "samples.json", "status.json", "report.html"})
    EXPECT_TRUE(fs::exists(run / file)) << file;
  EXPECT_THAT(first.out, HasSubstr("report.html"));
  EXPECT_THAT(first.out, testing::Not(HasSubstr("unknown at the last step"))) << "lines of checkpoints and evaluations are no steps";

  std::vector<int64_t> steps;
  for (const auto& line : lines(run / "metrics.jsonl"))
    if (line.contains("loss")) steps.push_back(line["step"]);
  ASSERT_EQ(steps.size(), 60u);
  for (size_t i = 0; i < steps.size(); ++i) EXPECT_EQ(steps[i], int64_t(i) + 1);
  const auto evaluation = json(run / "eval.json");
  ASSERT_EQ(evaluation["splits"].size(), 2u);
  for (const auto& split : evaluation["splits"]) {
    EXPECT_GT(split["tokens"], 100);
    EXPECT_LT(split["bits_per_byte"], 4.0) << "it has learnt something";
    ASSERT_EQ(split["baselines"].size(), 4u);
    for (const auto& baseline : split["baselines"]) EXPECT_GT(baseline["bits_per_byte"], 0.1) << baseline["name"];
  }
  EXPECT_FALSE(json(run / "samples.json")["samples"].empty());
  EXPECT_EQ(json(run / "status.json")["exit_code"], 0);
  const std::string before = weights(run);

  const Ended second = tokenwerk(words);
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_THAT(second.err, HasSubstr("60 of 60 steps are done"));
  EXPECT_THAT(second.err, HasSubstr("evaluation is up to date"));
  EXPECT_EQ(weights(run), before);

  const Ended inspected = tokenwerk({"verify", run});
  EXPECT_EQ(inspected.code, 0) << inspected.out << inspected.err;
}

TEST_F(Factory, ARunThatWasKilledEndsWithTheWeightsOfAnUntouchedOne) {
#if !defined(TW_FAULT_POINTS)
  GTEST_SKIP() << "this build has no fault points";
#endif
  const std::string folder = documents();
  const auto words = [&](const char* run) {
    return Words{"factory", folder, "--out", path(run), "--checkpoint.interval", "5", "--checkpoint.async", "false", "--optimizer.skip_step_sigma", "6"} + tiny(24);
  };
  const Ended untouched = tokenwerk(words("a"));
  ASSERT_EQ(untouched.code, 0) << untouched.err;
  for (const char* fault : {"train.optimizer:0:12", "checkpoint.before_manifest:0:1", "train.backward:0:9"})
    EXPECT_EQ(tokenwerk(words("b"), {.environment = {{"TW_FAULT", fault}}}).code, 128 + SIGKILL) << fault;
  const Ended last = tokenwerk(words("b"));
  ASSERT_EQ(last.code, 0) << last.err;
  EXPECT_EQ(weights(path("a")), weights(path("b")));
  EXPECT_EQ(lines(fs::path(path("a")) / "metrics.jsonl").size(), lines(fs::path(path("b")) / "metrics.jsonl").size());
}

TEST_F(Factory, SavesOnASignalAndGoesOn) {
  const std::string tokens = raw_tokens();
  const Words words = Words{"train", "--out", path("run"), "--data.train", tokens, "--model.vocab_size", "61"} + tiny(100000);
  for (const int signal : {SIGUSR1, SIGTERM}) {
    bool sent = false;
    const auto started = fs::exists(fs::path(path("run")) / "metrics.jsonl") ? fs::file_size(fs::path(path("run")) / "metrics.jsonl") : 0;
    const Ended e = tokenwerk(words, {.watch = [&](int pid) {
      std::error_code none;
      if (sent || fs::file_size(fs::path(path("run")) / "metrics.jsonl", none) < started + 2000 || none) return;
      sent = ::kill(pid, signal) == 0;
    }});
    EXPECT_EQ(e.code, 75) << e.err;
    const auto status = json(fs::path(path("run")) / "status.json");
    EXPECT_EQ(status["exit_code"], 75);
    EXPECT_EQ(status["state"], "stopped");
  }
  const auto metrics = steps(path("run"));
  for (size_t i = 0; i < metrics.size(); ++i) ASSERT_EQ(metrics[i]["step"], int64_t(i) + 1) << "each step once, none left out";
}

TEST_F(Factory, TwoRunsDoNotShareAFolder) {
  const std::string tokens = raw_tokens();
  const Words words = Words{"train", "--out", path("run"), "--data.train", tokens, "--model.vocab_size", "61"} + tiny(100000);
  Ended other;
  bool tried = false;
  const Ended first = tokenwerk(words, {.watch = [&](int pid) {
    std::error_code none;
    if (tried || fs::file_size(fs::path(path("run")) / "metrics.jsonl", none) < 1000 || none) return;
    tried = true;
    other = tokenwerk(words);
    ::kill(pid, SIGTERM);
  }});
  EXPECT_EQ(first.code, 75) << first.err;
  EXPECT_EQ(other.code, 76) << other.err;
  EXPECT_THAT(other.err, HasSubstr("another"));
}

}  // namespace
}  // namespace tw
