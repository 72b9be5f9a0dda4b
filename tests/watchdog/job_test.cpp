// A rank of a real job is lost, stopped or hangs: it is named, the others say where they were, and nobody stays.
#include <signal.h>

#include "tests/watchdog/job_fixture.h"

namespace tw {
namespace {

constexpr int kForEver = 100000;  // steps

TEST_F(Job, AStoppedRankIsNamedAndEndsAll) {
  raw_tokens();
  const Ended e = run(4, train(kForEver), "train.forward:1:40:stop");
  EXPECT_TRUE(all_gone(5)) << e.err;
  EXPECT_EQ(e.code, 80) << e.err;
  EXPECT_NE(e.err.find("rank 1 (host "), std::string::npos) << e.err;
  EXPECT_NE(e.err.find("stopped by a signal"), std::string::npos) << e.err;
  EXPECT_EQ(status()["exit_code"], 80);
  EXPECT_EQ(status()["state"], "failed");
  EXPECT_NE(status()["reason"].get<std::string>().find("rank 1"), std::string::npos) << status().dump();
  for (const int r : {0, 2}) EXPECT_NE(stacks(r).find("#0"), std::string::npos) << "rank " << r << ": " << e.err;
}

TEST_F(Job, AnEndlessLoopIsNamedWithItsPhaseAndStack) {
  raw_tokens();
  const Ended e = run(4, train(kForEver), "train.backward:2:60:loop");
  EXPECT_TRUE(all_gone(5)) << e.err;
  EXPECT_EQ(e.code, 80) << e.err;
  const std::string reason = status()["reason"];
  EXPECT_NE(reason.find("rank 2 (host "), std::string::npos) << reason;
  EXPECT_NE(reason.find("no progress"), std::string::npos) << reason;
  EXPECT_NE(reason.find("backward of step"), std::string::npos) << reason;
  EXPECT_NE(stacks(2).find("tw::fault_point"), std::string::npos) << stacks(2);
  EXPECT_NE(e.err.find("tw::fault_point"), std::string::npos) << "the culprit's stack is shown, too: " << e.err;
}

TEST_F(Job, ARankThatSleepsInACallIsNamed) {
  raw_tokens();
  const Ended e = run(2, train(kForEver), "train.optimizer:0:20:sleep");
  EXPECT_TRUE(all_gone(5)) << e.err;
  EXPECT_EQ(e.code, 80) << e.err;
  EXPECT_NE(status()["reason"].get<std::string>().find("rank 0 (host "), std::string::npos) << status().dump();
  EXPECT_NE(status()["reason"].get<std::string>().find("optimizer"), std::string::npos) << status().dump();
}

TEST_F(Job, ADeadRankIsNamedInTheStatus) {
  raw_tokens();
  for (const int rank : {0, 1}) {
    const Ended e = run(2, train(kForEver), "train.exchange:" + std::to_string(rank) + ":20:kill");
    EXPECT_TRUE(all_gone(5)) << e.err;
    EXPECT_NE(e.code, 0);
    EXPECT_EQ(status()["exit_code"], 69) << e.err;
    const std::string reason = status()["reason"], name = "rank " + std::to_string(rank) + " (host ";
    EXPECT_NE(reason.find(name), std::string::npos) << reason;
    EXPECT_NE(reason.find("gone"), std::string::npos) << reason;
  }
}

TEST_F(Job, NobodyOutlivesMpirun) {
  raw_tokens();
  const Ended e = run(2, train(kForEver, {"--checkpoint.interval", "5"}), "", [&](int mpirun) {
    if (steps_done() > 10) ::kill(mpirun, SIGKILL);
  });
  EXPECT_EQ(e.code, 137);
  EXPECT_TRUE(all_gone(10)) << "orphans";
  // The folder is not blocked by those that are gone.
  const Ended again = run(2, train(1, {"--checkpoint.resume", "never"}));
  EXPECT_EQ(again.code, 0) << again.err;
}

TEST_F(Job, ASlowRankIsWarnedOfAndTheRunGoesOn) {
  raw_tokens();
  const Ended e = run(2, train(65), "train.forward:1:1:slow");
  EXPECT_EQ(e.code, 0) << e.err;
  EXPECT_NE(e.err.find("rank 1 (host "), std::string::npos) << e.err;
  EXPECT_NE(e.err.find("most of it is lost in forward"), std::string::npos) << e.err;
}

TEST_F(Job, AJumpingClockChangesNothing) {
  raw_tokens();
  const Ended e = ranks(2, train(30, {"--checkpoint.interval", "10"}), {.environment = {{"OMPI_MCA_mca_base_env_list", "LD_PRELOAD=" TW_JUMPING_CLOCK}}});
  EXPECT_EQ(e.code, 0) << e.err;
  const std::string jumped = weights(path("run"));
  std::filesystem::remove_all(path("run"));
  ASSERT_EQ(ranks(2, train(30, {"--checkpoint.interval", "10"})).code, 0);
  EXPECT_EQ(weights(path("run")), jumped);
}

TEST_F(Job, OffMeansOff) {
  raw_tokens();
  bool stopped = false;
  int waited = 0;
  // A rank stands still for longer than the watchdog would bear, as under a debugger; then all goes on.
  const Ended e = run(2, train(60, {"--watchdog.enabled", "false", "--watchdog.timeout_seconds", "2"}), "train.forward:1:20:stop", [&](int) {
    if (!stopped && steps_done() >= 4 && ++waited > 400) {
      const auto found = pids();
      if (found.contains(1)) ::kill(found.at(1), SIGCONT);
      stopped = true;
    }
  });
  EXPECT_EQ(e.code, 0) << e.err;
}

}  // namespace
}  // namespace tw
