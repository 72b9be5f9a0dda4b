// Budgets as a user sets them.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class BudgetCommand : public Cli {
 protected:
  Words train(const std::string& run) const {
    return Words{"train", "--out", path(run), "--data.train", path("tokens.u16"), "--model.vocab_size", "61", "--training.threads", "1"} + tiny(8);
  }
  // What earlier starts of a run took, as its ledger holds it.
  void spent(const std::string& run, double seconds) const {
    const nlohmann::json none = {{"seconds", 0}, {"metered_joules", 0}, {"unmetered_seconds", 0}, {"tokens", 0}, {"starts", 0}};
    nlohmann::json scan = none;
    scan["seconds"] = seconds;
    const nlohmann::json ledger = {{"meter", {{"kind", "none"}, {"text", ""}}}, {"phases", {{"scan", scan}}}, {"wasted", none},
                                   {"training", {{"last_step", 0}, {"marks", nlohmann::json::array()}}}};
    write(run + "/phases.json", ledger.dump());
  }
};

TEST_F(BudgetCommand, WhatCannotBeCountedIsRefused) {
  raw_tokens();
  const auto refused = [&](const Words& words, const char* why, const Words& more = {}) {
    const Ended e = tokenwerk(train("run") + words + more);
    EXPECT_EQ(e.code, 64) << e.err;
    EXPECT_THAT(e.err, HasSubstr(why));
    EXPECT_THAT(e.err, Not(HasSubstr("step 1"))) << "nothing was trained";
  };
  refused({"--budget", "50"}, "90min");
  refused({"--budget", "50kg"}, "50kJ");
  refused({"--budget", "5kJ", "--budget", "6kJ"}, "twice");
  refused({"--budget", "50kJ"}, "energy.assumed_watts", {"--energy.source", "none"});
  refused({"--budget=5€"}, "energy.price_eur_per_node_hour");
  refused({"--budget.eur", "5"}, "energy.price_eur_per_kwh");
  refused({"--budget.seconds", "5 weeks"}, "budget.seconds");
  const Ended e = ranks(2, train("run") + Words{"--budget", "50kJ", "--energy.source", "none"});
  EXPECT_EQ(e.code, 64) << e.err;
  EXPECT_EQ(json(fs::path(path("run")) / "status.json")["exit_code"], 64);
}

TEST_F(BudgetCommand, WhatEarlierStartsTookCounts) {
  raw_tokens();
  for (const int n : {1, 2}) {
    const std::string run = "run" + std::to_string(n);
    spent(run, 7300);
    const auto start = [&](const char* budget) {
      const Words words = train(run) + Words{"--budget", budget};
      return n == 1 ? tokenwerk(words) : ranks(n, words);
    };
    const Ended stopped = start("2h");
    EXPECT_EQ(stopped.code, 77) << stopped.err;
    EXPECT_THAT(stopped.err, HasSubstr("2 h 01 min of 2 h 00 min"));
    const auto status = json(fs::path(path(run)) / "status.json");
    EXPECT_EQ(status["state"], "stopped");
    EXPECT_EQ(status["exit_code"], 77);
    EXPECT_THAT(status["reason"].get<std::string>(), HasSubstr("budget reached"));
    EXPECT_FALSE(fs::exists(fs::path(path(run)) / "train.json"));
    const Ended larger = start("5h");
    EXPECT_EQ(larger.code, 0) << larger.err;
    EXPECT_EQ(json(fs::path(path(run)) / "status.json")["state"], "done");
    EXPECT_EQ(json(fs::path(path(run)) / "train.json")["step"], 8);
  }
  EXPECT_EQ(weights(path("run1")), weights(path("run2")));
}

TEST_F(BudgetCommand, TheFactoryCountsAllPhases) {
  const Words words = Words{"factory", documents(), "--out", path("run"), "--training.threads", "1"} + tiny(8);
  spent("run", 100);
  const Ended scan = tokenwerk(words + Words{"--budget", "1min"});
  EXPECT_EQ(scan.code, 77) << scan.err;
  EXPECT_FALSE(fs::exists(fs::path(path("run")) / "inventory.json")) << "it stops before the first phase";
  EXPECT_EQ(json(fs::path(path("run")) / "status.json")["state"], "stopped");
  EXPECT_EQ(tokenwerk(words + Words{"--budget", "1h,1EUR", "--energy.price_eur_per_node_hour", "72"}).code, 77) << "2 EUR are used";
  const Ended whole = tokenwerk(words + Words{"--budget", "1h"});
  EXPECT_EQ(whole.code, 0) << whole.err;
  EXPECT_THAT(read_file(fs::path(path("run")) / "report.html"), HasSubstr("of 1 h 00 min"));
}

TEST_F(BudgetCommand, ItSaysWhatWouldBeNeededAndTheCommandThatGoesOn) {
  raw_tokens();
  // The whole run takes more than a microjoule.
  const Ended e = tokenwerk(train("run") + Words{"--budget", "0.000001J", "--energy.source", "assumed", "--energy.assumed_watts", "100"});
  EXPECT_EQ(e.code, 77) << e.err;
  EXPECT_THAT(e.err, HasSubstr("a step takes"));
  EXPECT_THAT(e.err, HasSubstr("the other 8 steps"));
  const size_t at = e.err.find("to finish: tokenwerk train ");
  ASSERT_NE(at, std::string::npos) << e.err;
  const std::string line = e.err.substr(at, e.err.find('\n', at) - at);
  EXPECT_EQ(line.find("0.000001J"), std::string::npos) << line;
  const std::string amount = line.substr(line.rfind(' ') + 1);
  const Ended again = tokenwerk(train("run") + Words{"--budget", "1MJ", "--energy.source", "assumed", "--energy.assumed_watts", "100"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(amount, testing::EndsWith("J"));
}

}  // namespace
}  // namespace tw
