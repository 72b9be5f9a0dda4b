// The table [sweep]: what it means, and what is refused.
#include "src/sweep/plan.h"

#include <gmock/gmock.h>

#include <fstream>
#include <set>

#include "src/config/files.h"
#include "src/core/error.h"
#include "tests/support/process.h"

namespace tw {
namespace {
using testing::ElementsAre;
using testing::HasSubstr;

class Plan : public testing::Test {
 protected:
  SweepPlan read(const std::string& text, const std::vector<std::string>& words = {}, const char* name = "s.toml") {
    const auto path = folder_.path() / name;
    std::ofstream(path) << text;
    std::vector<FileNode> tables;
    load_config({path}, {}, &tables);
    return read_sweep_plan(tables, words);
  }
  static std::vector<std::string> texts(const SweepParameter& p) {
    std::vector<std::string> out;
    for (const ConfigValue& v : p.values) out.push_back(argument_text(v));
    return out;
  }
  // What is said; "" where it is taken.
  std::string refusal(const std::string& text, const std::vector<std::string>& words = {}) {
    try {
      sweep_points(read(text, words));
      return "";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::config) << e.what();
      return e.what();
    }
  }
  TemporaryFolder folder_;
};

TEST_F(Plan, AGridIsEveryCombination) {
  const SweepPlan plan = read(
      "[sweep]\n[sweep.parameters]\n\"optimizer.lr\" = { values = [1e-3, 3e-3, 1e-2] }\n"
      "\"model.type\" = [\"gpt2\", \"llama\"]\n");
  const auto points = sweep_points(plan);
  ASSERT_EQ(points.size(), 6u);
  EXPECT_EQ(point_text(plan, points[0]), "model.type = gpt2, optimizer.lr = 0.001");
  EXPECT_EQ(point_text(plan, points[5]), "model.type = llama, optimizer.lr = 0.01");
  EXPECT_EQ(std::set<SweepPoint>(points.begin(), points.end()).size(), 6u);
}

TEST_F(Plan, RangesBecomePoints) {
  const SweepPlan plan = read(
      "[sweep]\n[sweep.parameters]\n\"optimizer.lr\" = { min = 1e-4, max = 1e-2, scale = \"log\", count = 3 }\n"
      "\"model.num_hidden_layers\" = { min = 2, max = 8, step = 2 }\n"
      "\"optimizer.weight_decay\" = { min = 0, max = 0.3, step = 0.1 }\n"
      "\"training.seq_len\" = { values = [\"1Ki\", 512] }\n");
  EXPECT_THAT(texts(plan.parameters[0]), ElementsAre("2", "4", "6", "8"));
  EXPECT_THAT(texts(plan.parameters[1]), ElementsAre("0.0001", "0.001", "0.01"));
  EXPECT_THAT(texts(plan.parameters[2]), ElementsAre("0.0", "0.1", "0.2", "0.3"));
  EXPECT_THAT(texts(plan.parameters[3]), ElementsAre("1024", "512"));
}

TEST_F(Plan, LargeWholeNumbersAreKeptExactly) {
  const SweepPlan plan = read("[sweep]\n[sweep.parameters]\n\"training.seed\" = { min = 1234567, max = 1234581, step = 7 }\n");
  EXPECT_THAT(texts(plan.parameters[0]), ElementsAre("1234567", "1234574", "1234581"));
}

TEST_F(Plan, NamesWithoutQuotesAndJsonMeanTheSame) {
  const std::string quoted = read("[sweep]\n[sweep.parameters]\n\"optimizer.lr\" = { values = [0.1] }\n").to_toml();
  EXPECT_EQ(read("[sweep]\n[sweep.parameters]\noptimizer.lr = { values = [0.1] }\n").to_toml(), quoted);
  EXPECT_EQ(read("[sweep]\n[sweep.parameters.optimizer]\nlr = [0.1]\n").to_toml(), quoted);
  EXPECT_EQ(read(R"({"sweep": {"parameters": {"optimizer.lr": {"values": [0.1]}}}})", {}, "s.json").to_toml(), quoted);
}

TEST_F(Plan, TheTableReadsBackEqual) {
  const std::string text = read(
      "[sweep]\nmethod = \"random\"\nruns = 7\nseed = 3\nmetric = \"tokens_per_second\"\nparallel = 2\nranks = 2\n[sweep.parameters]\n"
      "\"optimizer.lr\" = { min = 1e-4, max = 1, scale = \"log\" }\n\"data.shuffle\" = { values = [true, false] }\n"
      "\"data.blend\" = { values = [[\"0.7 0.3\"], [\"0.5 0.5\", \"75%: 0.2 0.8\"]] }\n").to_toml();
  EXPECT_EQ(read(text).to_toml(), text);
  EXPECT_THAT(text, HasSubstr("goal = \"max\""));
}

TEST_F(Plan, RandomPointsAreAFunctionOfTheSeed) {
  const std::string body = "[sweep.parameters]\n\"optimizer.lr\" = { min = 1e-4, max = 1e-2, scale = \"log\" }\n"
                           "\"model.num_hidden_layers\" = { min = 1, max = 4 }\n\"model.type\" = [\"gpt2\", \"llama\"]\n";
  const auto points = [&](const char* head) { return sweep_points(read(head + body)); };
  const auto few = points("[sweep]\nmethod = \"random\"\nruns = 10\nseed = 5\n");
  const auto many = points("[sweep]\nmethod = \"random\"\nruns = 300\nseed = 5\n");
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin())) << "more runs only add some";
  EXPECT_NE(few, points("[sweep]\nmethod = \"random\"\nruns = 10\nseed = 6\n"));
  EXPECT_EQ(std::set<SweepPoint>(many.begin(), many.end()).size(), 300u);
  // A decade as often as the other; each whole number about as often as the others.
  int low = 0;
  std::map<int64_t, int> layers;
  for (const SweepPoint& p : many) {
    const double lr = std::get<double>(p[2]);
    EXPECT_TRUE(lr >= 1e-4 && lr <= 1e-2) << lr;
    low += lr < 1e-3;
    ++layers[std::get<int64_t>(p[0])];
  }
  EXPECT_NEAR(low, 150, 40);
  EXPECT_EQ(layers.size(), 4u);
  for (const auto& [layer, n] : layers) EXPECT_NEAR(n, 75, 35) << layer;
}

TEST_F(Plan, AllPointsOfASmallSpaceAreDrawn) {
  const std::string body = "[sweep.parameters]\n\"model.num_hidden_layers\" = { min = 1, max = 4 }\n\"model.type\" = [\"gpt2\", \"llama\"]\n";
  EXPECT_EQ(sweep_points(read("[sweep]\nmethod = \"random\"\nruns = 8\n" + body)).size(), 8u);
  EXPECT_THAT(refusal("[sweep]\nmethod = \"random\"\nruns = 9\n" + body), HasSubstr("only 8 different points"));
}

TEST_F(Plan, CommandLineWins) {
  const std::string text = "[sweep]\nmethod = \"random\"\nruns = 7\n[sweep.parameters]\n\"optimizer.lr\" = { min = 1e-4, max = 1e-2 }\n";
  EXPECT_EQ(read(text, {"--sweep.runs", "9"}).runs, 9);
  EXPECT_EQ(read(text, {"--sweep.parallel=3", "--sweep.metric=train_loss"}).parallel, 3);
  EXPECT_THAT(refusal(text, {"--sweep.rums", "9"}), HasSubstr("did you mean runs?"));
  EXPECT_THAT(refusal(text, {"--sweep.runs"}), HasSubstr("no value"));
}

TEST_F(Plan, MistakesAreNamedWithTheirPlace) {
  const auto with = [](const std::string& line) { return "[sweep]\n[sweep.parameters]\n" + line + "\n"; };
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {with("\"optimizer.lrr\" = [1]"), {"s.toml:3:1", "optimizer.lrr", "did you mean optimizer.lr?"}},
      {with("\"optimizer.lr\" = { values = [1e-3, \"fast\"] }"), {"s.toml:3:", "optimizer.lr wants a number", "fast"}},
      {with("\"optimizer.lr\" = { values = [1e-3, 5000] }"), {"s.toml:3:", "out of range"}},
      {with("\"optimizer.lr\" = { values = [1e-3, 0.001] }"), {"s.toml:3:", "twice"}},
      {with("\"optimizer.lr\" = { valeus = [1e-3] }"), {"s.toml:3:20", "did you mean values?"}},
      {with("\"optimizer.lr\" = 3"), {"s.toml:3:", "values = [a, b]"}},
      {with("\"optimizer.lr\" = { min = 1e-3 }"), {"s.toml:3:", "min and max"}},
      {with("\"optimizer.lr\" = { min = 1, max = 0.1, count = 3 }"), {"s.toml:3:", "not below"}},
      {with("\"optimizer.lr\" = { min = 0, max = 0.1, scale = \"log\", count = 3 }"), {"s.toml:3:", "logarithm"}},
      {with("\"optimizer.lr\" = { min = 0.1, max = 1 }"), {"s.toml:3:", "count"}},
      {with("\"optimizer.lr\" = { min = 0.1, max = 1, step = 1e-9 }"), {"s.toml:3:", "at most 1000"}},
      {with("\"model.type\" = { min = 1, max = 2 }"), {"s.toml:3:", "no range"}},
      {with("\"model.type\" = [\"gtp2\"]"), {"s.toml:3:", "did you mean \"gpt2\"?"}},
      {with("\"run.dir\" = [\"a\", \"b\"]"), {"s.toml:3:", "run.dir is the same in all trials"}},
      {with("\"tokenizer.vocab_size\" = [512, 1024]"), {"s.toml:3:", "is the same in all trials"}},
      {with(""), {"sweep.parameters", "missing or empty"}},
      {"[sweep]\nruns = 3\n[sweep.parameters]\n\"optimizer.lr\" = [1]\n", {"s.toml:2:", "random"}},
      {"[sweep]\nmethod = \"bayes\"\n[sweep.parameters]\n\"optimizer.lr\" = [1]\n", {"s.toml:2:", "\"grid\", \"random\"", "bayes"}},
      {"[sweep]\nmethod = \"random\"\nruns = 100000\n[sweep.parameters]\n\"optimizer.lr\" = [1]\n", {"s.toml:3:", "1 to 1000"}},
      {"[sweep]\nmetod = \"random\"\n[sweep.parameters]\n\"optimizer.lr\" = [1]\n", {"s.toml:2:1", "did you mean method?"}},
      {"[sweep]\nparameters = 3\n", {"s.toml:2:", "[sweep.parameters]"}},
      {"[training]\nsteps = 3\n", {"no table [sweep]"}},
  };
  for (const auto& [text, parts] : cases) {
    const std::string said = refusal(text);
    for (const std::string& part : parts) EXPECT_THAT(said, HasSubstr(part)) << text;
  }
}

TEST_F(Plan, ALargeGridIsCountedNotMade) {
  std::string text = "[sweep]\n[sweep.parameters]\n";
  for (const char* key : {"optimizer.lr", "optimizer.beta1", "optimizer.beta2", "optimizer.weight_decay"})
    text += "\"" + std::string(key) + "\" = { min = 0.1, max = 0.9, count = 100 }\n";
  EXPECT_THAT(refusal(text), HasSubstr("= 100000000 combinations, at most 1000"));
}

TEST_F(Plan, OtherCommandsRefuseTheTable) {
  const auto path = folder_.path() / "s.toml";
  std::ofstream(path) << "[training]\nsteps = 3\n[sweep]\n";
  try {
    load_config({path}, {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
    EXPECT_THAT(e.what(), HasSubstr("s.toml:3:2: [sweep] is for the command sweep"));
  }
}

TEST_F(Plan, WhatDoesNotFitAnEarlierSweepIsNamed) {
  const auto plan = [&](const std::string& head, const std::string& lr) {
    return read("[sweep]\nmethod = \"random\"\n" + head + "[sweep.parameters]\n\"optimizer.lr\" = " + lr + "\n");
  };
  const SweepPlan first = plan("runs = 5\n", "{ min = 0.1, max = 1 }");
  EXPECT_EQ(plan("runs = 8\nparallel = 4\n", "{ min = 0.1, max = 1 }").contradiction(first), "");
  EXPECT_THAT(plan("runs = 4\n", "{ min = 0.1, max = 1 }").contradiction(first), HasSubstr("can only grow"));
  EXPECT_THAT(plan("runs = 5\nseed = 1\n", "{ min = 0.1, max = 1 }").contradiction(first), HasSubstr("sweep.seed was 0, now it is 1"));
  EXPECT_THAT(plan("runs = 5\n", "{ min = 0.1, max = 2 }").contradiction(first), HasSubstr("max = 1.0"));
  EXPECT_THAT(plan("runs = 5\nranks = 2\n", "{ min = 0.1, max = 1 }").contradiction(first), HasSubstr("ranks"));
}

}  // namespace
}  // namespace tw
