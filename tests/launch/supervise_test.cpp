// launch/supervise and launch/run: what they do of each way a run can end.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "src/core/file.h"
#include "tests/launch/launch_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

class Supervise : public Launch {
 protected:
  auto at(const std::string& run) {
    return [this, run] { return reached(run); };
  }
};

void kill_one(int pid, const std::string& program, const std::string& word = "") {
  const std::vector<int> found = descendants(pid, program, word);
  ASSERT_FALSE(found.empty()) << program << " " << word;
  ASSERT_EQ(::kill(found.front(), SIGKILL), 0);  // of a script, itself and not a part of it
}

TEST_F(Supervise, KilledRanksAndLaunchersChangeNoBit) {
  constexpr int kSteps = 800;
  const std::string want = undisturbed(kSteps);
  ProcessOptions o = options();
  o.watch = when(at("run"), {{120, [](int pid) { kill_one(pid, "tokenwerk"); }},
                             {260, [](int pid) { kill_one(pid, "mpirun"); }},
                             {420, [](int pid) { kill_one(pid, "run", "launch/run"); }}});
  const Ended e = run_process(supervise(4) + train("run", kSteps), o);
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_EQ(weights(path("run")), want);
  EXPECT_THAT(litter(), IsEmpty());
  const auto starts = history("run", "start"), ends = history("run", "end");
  ASSERT_EQ(starts.size(), 4u) << read_file(fs::path(path("run")) / "supervise.jsonl");
  ASSERT_EQ(ends.size(), 4u);
  EXPECT_EQ(ends[0]["code"], 69);
  EXPECT_THAT(ends[0]["reason"], testing::ContainsRegex("rank [0-3] .*host "));
  EXPECT_EQ(ends[1]["code"], 69);
  EXPECT_EQ(ends[2]["code"], 137);
  EXPECT_EQ(ends[3]["code"], 0);
  EXPECT_EQ(ends[3]["committed"], kSteps);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(starts[i + 1]["committed"], ends[i]["committed"]);
    EXPECT_EQ(starts[i + 1]["ranks"], 4);
    EXPECT_GE(ends[i]["lost_steps"], 0);
    EXPECT_EQ(ends[i]["next"], "restart");
  }
  EXPECT_EQ(json(fs::path(path("run")) / "status.json")["state"], "done");
}

TEST_F(Supervise, ThreeStartsWithoutACheckpointAreTheEnd) {
  ProcessOptions o = options();
  o.environment.emplace_back("TW_FAULT", "train.forward:1:9");
  const Ended e = run_process(supervise(2) + train("run", 100), o);
  EXPECT_EQ(e.code, 69) << e.err;
  EXPECT_THAT(e.err, HasSubstr("3 starts in a row without a new checkpoint"));
  const auto ends = history("run", "end");
  ASSERT_EQ(ends.size(), 3u) << e.err;
  EXPECT_EQ(ends[2]["next"], "give up");
  const auto status = json(fs::path(path("run")) / "status.json");
  EXPECT_EQ(status["state"], "failed");
  EXPECT_EQ(status["exit_code"], 69);
  EXPECT_THAT(status["reason"], HasSubstr("rank 1 "));
  EXPECT_THAT(litter(), IsEmpty());
}

TEST_F(Supervise, WhatARestartWouldMeetAgainEndsAtOnce) {
  const Ended missing = run_process(supervise(2) + train("run", 10) + Words{"--data.train", path("absent.h5")}, options());
  EXPECT_EQ(missing.code, 66) << missing.err;
  EXPECT_EQ(history("run", "start").size(), 1u);
  EXPECT_EQ(run_process(supervise(2) + train("typo", 10) + Words{"--training.stepz", "4"}, options()).code, 64);
  EXPECT_EQ(run_process(supervise(2) + Words{"train"}, options()).code, 64) << "no run folder";
  EXPECT_EQ(run_process(Words{TW_LAUNCH "/supervise", "-n", "two", "train", "--out", path("run")}, options()).code, 64);
}

// A program that ends its n-th start with the n-th code and reason, each time after a new checkpoint.
TEST_F(Supervise, CodesDecideWhatIsStartedAgainAndWithWhat) {
  write("program", R"(#!/bin/bash
while (($#)); do [[ $1 != --out ]] || run=$2; shift; done
if ((OMPI_COMM_WORLD_RANK)); then exit 0; fi
n=$(($(cat "$run/starts" 2>/dev/null || echo 0) + 1))
echo "$n" >"$run/starts"
read -r code reason < <(sed -n "${n}p" "$run/../plan")
echo "$OMPI_COMM_WORLD_SIZE ranks on $CUDA_VISIBLE_DEVICES" >>"$run/seen"
mkdir -p "$run/checkpoints/step-0000000$n.a$n"
touch "$run/checkpoints/step-0000000$n.a$n/MANIFEST"
printf '{\n "state": "failed",\n "exit_code": %d,\n "reason": "%s",\n "step": 7\n}\n' "$code" "$reason" >"$run/status.json"
exit "$code"
)");
  fs::permissions(path("program"), fs::perms::owner_all);
  const auto run = [&](const std::string& name, const std::string& plan) {
    write("plan", plan);
    const ProcessOptions o{.environment = {{"TW_BIN", path("program")}, {"TMPDIR", path("tmp")}, {"CUDA_VISIBLE_DEVICES", "4,5,6,7"}}};
    const int code = run_process(supervise(4) + Words{"train", "--out", path(name)}, o).code;
    return std::make_pair(code, read_file(fs::path(path(name)) / "seen"));
  };
  const std::string all = "4 ranks on 4,5,6,7\n";
  EXPECT_EQ(run("gpu", "81 the memory of rank 2 was damaged\n0\n"), std::make_pair(0, all + "2 ranks on 4,5,7\n"));
  EXPECT_EQ(run("numerics", "79 loss nan\n79 loss nan\n0\n"), std::make_pair(79, all + all)) << "the same step again";
  EXPECT_EQ(run("disk", "74 full\n80 rank 1 hangs\n69 rank 1 is lost\n77 enough\n"), std::make_pair(77, all + all + all + all));
  for (const int code : {64, 65, 66, 70, 73, 75, 76, 77})
    EXPECT_EQ(run("end" + std::to_string(code), std::to_string(code) + " so\n0\n"), std::make_pair(code, all));
}

TEST_F(Supervise, AStopIsSavedAndNotStartedAgain) {
  const std::string want = undisturbed(1000);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) {
    ProcessOptions o = options();
    o.watch = when(at("run"), {{reached("run") + 60, [signal](int pid) { ::kill(pid, signal); }}});
    const Ended e = run_process(supervise(2) + train("run", 1000), o);
    ASSERT_EQ(e.code, 75) << e.err;
    const auto ends = history("run", "end");
    EXPECT_EQ(ends.back()["code"], 75);
    EXPECT_EQ(ends.back()["lost_steps"], 0);
    EXPECT_EQ(ends.back()["next"], "end");
  }
  const Ended rest = run_process(supervise(4) + train("run", 1000), options());
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_EQ(weights(path("run")), want);
}

TEST_F(Supervise, ARunOfAnotherIsLeftAlone) {
  ProcessOptions o = options();
  Ended second;
  o.watch = when(at("run"), {{20, [&](int pid) {
                                second = run_process(supervise(2) + train("run", 100000), options());
                                ::kill(pid, SIGTERM);
                              }}});
  const Ended first = run_process(supervise(2) + train("run", 100000), o);
  EXPECT_EQ(first.code, 75) << first.err;
  EXPECT_EQ(second.code, 76) << second.err;
}

TEST_F(Supervise, WithoutItsSupervisorARunSavesAndEnds) {
  if (run_process({"setpriv", "--pdeathsig", "KILL", "true"}).code != 0) GTEST_SKIP() << "setpriv cannot set the signal of a parent's death";
  ProcessOptions o = options();
  std::vector<int> all;
  o.watch = when(at("run"), {{60, [&](int pid) {
                                all = descendants(pid, "tokenwerk");
                                ::kill(pid, SIGKILL);
                              }}});
  EXPECT_EQ(run_process(supervise(2) + train("run", 20000), o).code, 128 + SIGKILL);
  ASSERT_EQ(all.size(), 2u);
  for (int i = 0; i < 600 && (::kill(all[0], 0) == 0 || ::kill(all[1], 0) == 0); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(json(fs::path(path("run")) / "status.json")["exit_code"], 75);
}

TEST_F(Supervise, TheNextStartRemovesWhatAKilledOneLeft) {
  ProcessOptions o = options();
  o.watch = when(at("run"), {{20, [](int pid) { ::kill(pid, SIGKILL); }}});
  const Words run{TW_LAUNCH "/run", "-n", "2"};
  EXPECT_EQ(run_process(run + train("run", 20000), o).code, 128 + SIGKILL);
  ASSERT_EQ(litter().size(), 1u);
  const std::string left = path("tmp") + "/" + litter()[0];
  write("tmp/tw.abcdef/somebody", "else's");
  EXPECT_EQ(run_process(run + train("other", 5), options()).code, 0);
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(path("tmp/tw.abcdef/somebody"))) << "a folder without an owner is not ours";
}

// The launcher is a program that would run for a minute: whoever is left is seen.
TEST_F(Supervise, KilledAtAnyMomentALauncherLeavesNoProcess) {
  if (run_process({"setpriv", "--pdeathsig", "KILL", "true"}).code != 0) GTEST_SKIP() << "setpriv cannot set the signal of a parent's death";
  write("bin/mpirun", "#!/bin/sh\nexec sleep 60\n");
  fs::permissions(path("bin/mpirun"), fs::perms::owner_all);
  ProcessOptions o = options();
  o.environment.emplace_back("PATH", path("bin") + ":" + std::getenv("PATH"));
  o.environment.emplace_back("TW_LAUNCHER", "mpirun");
  const auto left = [&] {  // by the PATH they were given
    std::string names;
    for (const auto& process : fs::directory_iterator("/proc")) {
      std::ifstream environment(process.path() / "environ", std::ios::binary), name(process.path() / "comm");
      const std::string all(std::istreambuf_iterator<char>(environment), {});
      if (all.find(path("bin") + ":") != all.npos) names += std::string(std::istreambuf_iterator<char>(name), {});
    }
    return names;
  };
  for (int us = 5000; us < 135000; us += 4000) {
    o.watch = [&, done = false](int pid) mutable {
      if (!done) ::usleep(useconds_t(us)), ::kill(pid, SIGKILL), done = true;
    };
    ASSERT_EQ(run_process({TW_LAUNCH "/run", "train"}, o).code, 128 + SIGKILL);
    for (int wait = 0; !left().empty() && wait < 30; ++wait) ::usleep(100000);
    ASSERT_EQ(left(), "") << "killed after " << us << " us";
  }
}

}  // namespace
}  // namespace tw
