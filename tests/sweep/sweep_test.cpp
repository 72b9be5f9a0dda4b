// Whole sweeps, as a user starts them: interrupted, with trials that fail, with mistakes.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

class Sweeps : public Cli {
 protected:
  // A sweep of tiny models on made-up tokens.
  void config(const std::string& sweep, int steps = 6, const std::string& more = "") {
    const std::string tokens = raw_tokens();
    write("sweep.toml", "[data]\ntrain = [\"" + tokens + "\"]\nval = [\"" + tokens + "\"]\n" +
                            "[model]\nvocab_size = 61\nhidden_size = 32\nnum_hidden_layers = 1\nnum_attention_heads = 2\n"
                            "[training]\nseq_len = 16\nmicro_batch_size = 2\nsteps = " + std::to_string(steps) +
                            "\n[eval]\nsteps = 4\n[metrics]\ntensorboard = false\n[energy]\nassumed_watts = 20\n" + more + "[sweep]\n" + sweep);
  }
  Ended sweep(const Words& more = {}, const std::string& out = "s", const ProcessOptions& options = {}) {
    return tokenwerk(Words{"sweep", path("sweep.toml"), "--out", path(out)} + more, options);
  }
  nlohmann::json result(const std::string& out = "s") { return json(fs::path(path(out)) / "sweep.json"); }
};

const char* const kGrid = "[sweep.parameters]\n\"optimizer.lr\" = { values = [1e-3, 1e-2] }\n\"training.seed\" = { min = 0, max = 1, step = 1 }\n";

TEST_F(Sweeps, AGridIsRunRankedAndRepeated) {
  config(std::string("parallel = 2\n") + kGrid);
  const Ended e = sweep();
  ASSERT_EQ(e.code, 0) << e.err;
  const auto all = result();
  EXPECT_EQ(all["done"], 4);
  EXPECT_EQ(all["ranking"].size(), 4u);
  double last = 0;
  for (const auto& n : all["ranking"]) {
    const auto& t = all["trials"][n.get<size_t>()];
    EXPECT_GE(t["metric"].get<double>(), last);
    last = t["metric"];
    EXPECT_EQ(t["metric"], t["eval_loss"]);
    EXPECT_GT(t["joules"], 0);
    EXPECT_EQ(t["energy"], "assumed");
    EXPECT_EQ(t["exit_code"], 0);
    EXPECT_TRUE(fs::exists(fs::path(path("s")) / t["folder"] / "log.txt"));
  }
  EXPECT_THAT(e.out, HasSubstr("optimizer.lr"));
  EXPECT_TRUE(fs::exists(fs::path(path("s")) / "sweep.html"));

  // The best again, by the settings that the folder keeps.
  const auto& best = all["trials"][all["best"].get<size_t>()];
  Words again = {"train", fs::path(path("s")) / "base.toml", "--out", path("again")};
  for (const auto& [key, value] : best["parameters"].items()) again.push_back("--" + key + "=" + value.dump());
  ASSERT_EQ(tokenwerk(again).code, 0);
  EXPECT_EQ(weights(path("again")), weights(fs::path(path("s")) / best["folder"]));

  const Ended second = tokenwerk({"sweep", "--out", path("s"), "--json"});
  EXPECT_EQ(second.code, 0) << second.err;
  const auto printed = nlohmann::json::parse(second.out);
  EXPECT_EQ(printed["trials"], all["trials"]) << "nothing is run again";
}

TEST_F(Sweeps, AnInterruptedSweepEndsAsOneThatNobodyTouched) {
  config(kGrid, 1000, "[checkpoint]\ninterval = 400\n");
  ASSERT_EQ(sweep({"--training.threads", "1"}, "whole").code, 0);
  // Stopped by signals in the middle of a trial, and killed: the trial saves itself then.
  int stopped = 0;
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGKILL}) {
    bool sent = false;
    const std::string trials = fs::path(path("s")) / "trials";
    size_t before = 0;
    const auto lines_now = [&] {
      size_t bytes = 0;
      std::error_code none;
      for (int i = 0; i < 4; ++i) {
        const auto size = fs::file_size(trials + "/000" + std::to_string(i) + "/metrics.jsonl", none);
        if (!none) bytes += size;
      }
      return bytes;
    };
    before = lines_now();
    const Ended e = sweep({"--training.threads", "1"}, "s", {.watch = [&](int pid) {
      if (!sent && lines_now() > before + 4000) sent = ::kill(pid, signal) == 0;
    }});
    ASSERT_TRUE(sent);
    EXPECT_EQ(e.code, signal == SIGKILL ? 128 + SIGKILL : 75) << e.err;
    // None where the signal comes between two trials.
    if (signal != SIGKILL) stopped += result()["stopped"].get<int>();
  }
  Ended last;
  for (int i = 0; i < 100; ++i) {  // the trial that lost its sweep is saving itself
    last = sweep({"--training.threads", "1"});
    if (last.code != 75) break;
    ::usleep(50000);
  }
  ASSERT_EQ(last.code, 0) << last.err;
  const auto a = result("whole"), b = result("s");
  EXPECT_EQ(a["ranking"], b["ranking"]);
  int starts = 0;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(a["trials"][i]["metric"], b["trials"][i]["metric"]) << i;
    EXPECT_EQ(a["trials"][i]["train_loss"], b["trials"][i]["train_loss"]) << i;
    EXPECT_EQ(weights(fs::path(path("whole")) / a["trials"][i]["folder"]), weights(fs::path(path("s")) / b["trials"][i]["folder"])) << i;
    starts += b["trials"][i]["starts"].get<int>();
  }
  EXPECT_GE(stopped, 1);
  EXPECT_GE(starts, 4 + stopped);
}

TEST_F(Sweeps, AFailingTrialDoesNotStopTheOthers) {
  // Three heads do not divide 32.
  config("[sweep.parameters]\n\"model.num_attention_heads\" = { values = [2, 3, 4] }\n");
  const Ended e = sweep();
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_THAT(e.err, HasSubstr("1 of 3 trials cannot start"));
  const auto all = result();
  EXPECT_EQ(all["done"], 2);
  EXPECT_EQ(all["failed"], 1);
  EXPECT_EQ(all["trials"][1]["exit_code"], 64);
  EXPECT_THAT(all["trials"][1]["reason"].get<std::string>(), HasSubstr("num_attention_heads"));
  EXPECT_THAT(e.out, HasSubstr("failed"));
  const Ended second = sweep();
  EXPECT_EQ(second.code, 0);
  EXPECT_EQ(result()["trials"][1]["starts"], 1) << "not run again without being asked";
  EXPECT_THAT(second.err, HasSubstr("--retry-failed"));
  EXPECT_EQ(sweep({"--retry-failed"}).code, 0);
  EXPECT_EQ(result()["trials"][1]["starts"], 2);
  EXPECT_EQ(result()["trials"][0]["starts"], 1);
}

TEST_F(Sweeps, AKilledTrialIsNamed) {
  config("[sweep.parameters]\n\"training.seed\" = { values = [1] }\n", 6);
#if defined(TW_FAULT_POINTS)
  const Ended e = sweep({}, "s", {.environment = {{"TW_FAULT", "train.optimizer:0:2"}}});
  EXPECT_EQ(e.code, 79) << "no trial has a result";
  EXPECT_THAT(result()["trials"][0]["reason"].get<std::string>(), HasSubstr("SIGKILL"));
  EXPECT_EQ(result()["trials"][0]["exit_code"], 128 + SIGKILL);
  EXPECT_EQ(sweep({"--retry-failed"}).code, 0);
#endif
}

TEST_F(Sweeps, AFullDiskIsNamed) {
  config("[sweep.parameters]\n\"training.seed\" = { values = [1, 2] }\n", 6);
  const Ended e = sweep({}, "s", {.file_size_limit = 20000});
  EXPECT_EQ(e.code, 74) << e.err;
  EXPECT_THAT(result()["trials"][0]["reason"].get<std::string>(), HasSubstr("ulimit -f"));
}

TEST_F(Sweeps, DocumentsAreTokenizedOnce) {
  config("[sweep.parameters]\n\"optimizer.lr\" = { values = [1e-3, 1e-2] }\n");
  write("sweep.toml", "[data]\nsplit = \"0.6,0.4,0\"\n[tokenizer]\nvocab_size = 300\n[model]\nhidden_size = 32\nnum_hidden_layers = 1\nnum_attention_heads = 2\n"
                      "[training]\nseq_len = 16\nmicro_batch_size = 2\nsteps = 4\n[sweep]\n[sweep.parameters]\n\"optimizer.lr\" = { values = [1e-3, 1e-2] }\n");
  const std::string folder = documents();
  const Ended e = sweep({folder});
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_EQ(result()["done"], 2);
  EXPECT_TRUE(fs::exists(fs::path(path("s")) / "data/tokens/train.h5"));
  EXPECT_FALSE(fs::exists(fs::path(path("s")) / "trials/0000/tokens"));
  write("documents/more.txt", "Text that came later is not taken: trials would not compare.");
  const Ended second = sweep({folder});
  EXPECT_EQ(second.code, 0) << second.err;
  EXPECT_EQ(second.err.find("scan"), std::string::npos) << second.err;
}

TEST_F(Sweeps, RanksAreStartedByTheLauncher) {
  config("ranks = 2\n[sweep.parameters]\n\"optimizer.lr\" = { values = [1e-2] }\n");
  const Ended e = sweep({}, "s", {.environment = {{"TW_LAUNCH", TW_LAUNCH}}});
  ASSERT_EQ(e.code, 0) << e.err << read_file(fs::path(path("s")) / "trials/0000/log.txt");
  EXPECT_EQ(json(fs::path(path("s")) / "trials/0000/train.json")["ranks"], 2);
  const Ended missing = sweep({}, "other", {.environment = {{"TW_LAUNCH", "/nowhere/run"}}});
  EXPECT_EQ(missing.code, 66);
  EXPECT_THAT(missing.err, HasSubstr("/nowhere/run"));
}

TEST_F(Sweeps, ATaskOfAnArrayJobRunsItsTrialAlone) {
  config(kGrid);
  const Ended script = sweep({"--slurm"});
  ASSERT_EQ(script.code, 0) << script.err;
  EXPECT_THAT(script.out, HasSubstr("sbatch " + path("s") + "/sweep.sbatch"));
  EXPECT_THAT(read_file(fs::path(path("s")) / "sweep.sbatch"), HasSubstr("--array=0-3\n"));
  for (const char* n : {"2", "0"}) EXPECT_EQ(tokenwerk({"sweep", "--trial", n, "--out", path("s")}).code, 0);
  EXPECT_EQ(tokenwerk({"sweep", "--trial", "4", "--out", path("s")}).code, 64);
  const Ended some = tokenwerk({"sweep", "--collect", "--out", path("s")});
  EXPECT_EQ(some.code, 0) << some.err;
  EXPECT_EQ(result()["done"], 2);
  EXPECT_EQ(result()["waiting"], 2);
  EXPECT_EQ(tokenwerk({"sweep", "--slurm", "--out", path("s")}).code, 0);
  EXPECT_THAT(read_file(fs::path(path("s")) / "sweep.sbatch"), HasSubstr("--array=1,3\n")) << "only what is left";
}

TEST_F(Sweeps, MistakesAreSaidBeforeAnythingIsWritten) {
  config(kGrid);
  const auto refused = [&](const Words& more, int code, const char* part) {
    const Ended e = sweep(more, "none");
    EXPECT_EQ(e.code, code) << e.err;
    EXPECT_THAT(e.err, HasSubstr(part));
    EXPECT_FALSE(fs::exists(path("none"))) << part;
  };
  refused({"--checkpoint.dir", "x"}, 64, "checkpoint.dir");
  refused({"--checkpoint.resume", "never"}, 64, "checkpoint.resume");
  refused({"--data.train", "[]"}, 64, "data.train");
  refused({"--data.val", "[]"}, 64, "data.val");
  refused({"--training.steps", "0"}, 64, "no length");
  refused({"--sweep.metric", "accuracy"}, 64, "eval_loss");
  refused({"--sweep.rank", "2"}, 64, "did you mean ranks?");
  refused({"--slurm", "--collect"}, 64, "one of them");
  EXPECT_EQ(tokenwerk({"sweep", "--out", path("none")}).code, 66);
  EXPECT_EQ(ranks(2, {"sweep", path("sweep.toml"), "--out", path("none")}).code, 64);
  EXPECT_FALSE(fs::exists(path("none")));
  // A whole sweep that cannot start is no sweep.
  const Ended e = sweep({"--model.hidden_size", "33"}, "odd");
  EXPECT_EQ(e.code, 64);
  EXPECT_THAT(e.err, HasSubstr("none of the trials can start: trial 0000"));
  // Settings that do not fit what is there.
  ASSERT_EQ(sweep().code, 0);
  const Ended other = sweep({"--training.steps", "7"});
  EXPECT_EQ(other.code, 64);
  EXPECT_THAT(other.err, HasSubstr("training.steps was 6, now it is 7"));
}

}  // namespace
}  // namespace tw
