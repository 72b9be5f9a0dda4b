// Jobs of the real Slurm, on virtual nodes (cluster/slurm).
#include <gmock/gmock.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/launch/launch_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

class Slurm : public Launch {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) missing_ = "nodes with host names of their own want root";
    else if (run_process({"sh", "-c", "PATH=$PATH:/usr/sbin; command -v slurmctld && command -v slurmd && command -v munged && command -v srun"}).code != 0)
      missing_ = "slurm-wlm or munge is not installed";
    if (!missing_.empty()) return;
    folder_ = std::make_unique<TemporaryFolder>();
    const Ended e = slurm({"up", "3", "4", "2"});
    ASSERT_EQ(e.code, 0) << e.err;
  }
  static void TearDownTestSuite() {
    if (folder_) {
      EXPECT_EQ(slurm({"down"}).code, 0);
    }
    folder_.reset();
  }
  void SetUp() override {
    const char* required = std::getenv("TW_REQUIRE_MPI");
    if (!missing_.empty() && required && std::string(required) == "1") FAIL() << missing_;
    if (!missing_.empty()) GTEST_SKIP() << missing_;
  }
  static Ended slurm(const Words& words, ProcessOptions o = {}) {
    o.environment.emplace_back("TW_SLURM", folder_->path() / "slurm");
    return run_process(Words{TW_CLUSTER "/slurm"} + words, o);
  }
  // sbatch words... in the folder of this test; its number.
  std::string submit(const Words& words, const std::string& launcher = "") const {
    ProcessOptions o = options();
    o.folder = path("");
    o.environment.emplace_back("TW_ROOT", TW_LAUNCH "/..");
    if (!launcher.empty()) o.environment.emplace_back("TW_LAUNCHER", launcher);
    const Ended e = slurm(Words{"run", "sbatch", "--parsable"} + words, o);
    EXPECT_EQ(e.code, 0) << e.err;
    return e.out.substr(0, e.out.find_first_of(";\n"));
  }
  static std::string field(const std::string& job, const std::string& name) {
    const std::string text = slurm({"run", "scontrol", "show", "job", job}).out;
    const size_t at = text.find(" " + name + "=");
    return at == text.npos ? "" : text.substr(at + name.size() + 2, text.find_first_of(" \n", at + 1) - at - name.size() - 2);
  }
  // Waits for the job's end; a requeued one is not made to wait two minutes. Its state.
  static std::string end_of(const std::string& job) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(200);
    std::string state;
    while (std::chrono::steady_clock::now() < limit) {
      state = field(job, "JobState");
      if (state == "PENDING" && field(job, "Reason") == "BeginTime") {
        ::sleep(2);  // its node may still be clearing up
        slurm({"run", "scontrol", "update", "jobid=" + job, "StartTime=now"});
      }
      if (state != "PENDING" && state != "RUNNING" && state != "COMPLETING" && state != "CONFIGURING" && state != "REQUEUED") break;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return state;
  }
  void wait_for(const std::string& run, int64_t step) const {
    for (int i = 0; i < 1200 && reached(run) < step; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ASSERT_GE(reached(run), step);
  }
  std::string log(const std::string& job) const {
    const Ended e = run_process({"sh", "-c", "cat '" + path("") + "'/*" + job + ".log"});
    return e.out + e.err;
  }
  // Settings as a file, for scripts that take one.
  Words settings(const std::string& run, int steps) const {
    Words words = train(run, steps);
    words.erase(words.begin());
    return words;
  }

 private:
  static std::string missing_;
  static std::unique_ptr<TemporaryFolder> folder_;
};
std::string Slurm::missing_;
std::unique_ptr<TemporaryFolder> Slurm::folder_;

TEST_F(Slurm, BothLaunchersOnOneNodeAndOnTwoGiveTheSameBits) {
  const std::string want = undisturbed(100);
  const std::string script = TW_LAUNCH "/slurm/train.sbatch";
  std::vector<std::pair<std::string, std::string>> jobs;
  for (const std::string launcher : {"srun", "mpirun"})
    for (const std::string nodes : {"1", "2"}) {
      const std::string run = launcher + nodes;
      jobs.emplace_back(run, submit(Words{"-N", nodes, "-n", "2", "--gpus-per-node", "1", script} + settings(run, 100), launcher));
    }
  for (const auto& [run, job] : jobs) {
    ASSERT_EQ(end_of(job), "COMPLETED") << log(job);
    EXPECT_EQ(json(fs::path(path(run)) / "train.json")["ranks"], 2);
    EXPECT_EQ(weights(path(run)), want) << run;
  }
}

// What Slurm does 300 seconds before the time limit, by train.sbatch's --signal; it looks at limits only twice a minute.
TEST_F(Slurm, TheSignalBeforeTheTimeLimitSavesAndRequeues) {
  const std::string job = submit(Words{"-n", "2", TW_LAUNCH "/slurm/train.sbatch"} + settings("run", 1000));
  wait_for("run", 60);
  ASSERT_EQ(slurm({"run", "scancel", "--batch", "--signal=USR1", job}).code, 0);
  ASSERT_EQ(end_of(job), "COMPLETED") << log(job);
  EXPECT_GE(std::atoi(field(job, "Restarts").c_str()), 1) << log(job);
  EXPECT_EQ(weights(path("run")), undisturbed(1000));
  EXPECT_EQ(history("run", "end")[0]["code"], 75);
  EXPECT_EQ(history("run", "end")[0]["lost_steps"], 0);
}

TEST_F(Slurm, ALostNodeRequeuesTheJob) {
  const std::string job = submit(Words{"-N", "2", "-n", "4", TW_LAUNCH "/slurm/train.sbatch"} + settings("run", 1000));
  wait_for("run", 100);
  const std::string list = field(job, "NodeList");  // n[1-2]
  const std::string node = list.substr(list.find_last_of("-,") + 1, 1);
  ASSERT_EQ(slurm({"fail", node}).code, 0);
  ASSERT_EQ(end_of(job), "COMPLETED") << log(job);
  EXPECT_EQ(slurm({"heal", node}).code, 0);
  EXPECT_GE(std::atoi(field(job, "Restarts").c_str()), 1) << log(job);
  EXPECT_EQ(weights(path("run")), undisturbed(1000));
}

TEST_F(Slurm, AJobThatNeverGetsToACheckpointIsNotRequeuedForEver) {
  const std::string job = submit(Words{"-n", "2", "--export=ALL,TW_FAULT=train.forward:1:9", TW_LAUNCH "/slurm/train.sbatch"} + settings("run", 100));
  EXPECT_EQ(end_of(job), "FAILED") << log(job);
  EXPECT_EQ(field(job, "ExitCode"), "69:0") << "the job's code says why";
  EXPECT_EQ(history("run", "start").size(), 3u);
}

TEST_F(Slurm, TasksOfAnArrayTakeATrialEach) {
  write("sweep.toml", "[data]\ntrain = [\"" + raw_tokens() + "\"]\nval = [\"" + raw_tokens() + "\"]\nraw_bits = 16\n"
                          "[model]\nvocab_size = 61\nhidden_size = 32\nnum_hidden_layers = 1\nnum_attention_heads = 2\n"
                          "[training]\nseq_len = 16\nmicro_batch_size = 2\nsteps = 6\n[eval]\nsteps = 4\n"
                          "[sweep]\nparallel = 2\nranks = 2\n[sweep.parameters]\n\"optimizer.lr\" = { values = [1e-3, 1e-2] }\n"
                          "\"training.seed\" = { values = [0, 1] }\n");
  ProcessOptions o = options();
  o.environment.emplace_back("TW_LAUNCH", TW_LAUNCH "/run");
  const Ended made = tokenwerk({"sweep", path("sweep.toml"), "--out", path("s"), "--slurm"}, o);
  ASSERT_EQ(made.code, 0) << made.err;
  const std::string job = submit({path("s") + "/sweep.sbatch"});
  for (const char* task : {"_0", "_1", "_2", "_3"}) EXPECT_EQ(end_of(job + task), "COMPLETED") << task;
  ASSERT_EQ(tokenwerk({"sweep", "--collect", "--out", path("s")}).code, 0);
  EXPECT_EQ(json(fs::path(path("s")) / "sweep.json")["done"], 4);
  for (const char* trial : {"0000", "0001", "0002", "0003"})
    EXPECT_EQ(json(fs::path(path("s")) / "trials" / trial / "train.json")["ranks"], 2);
}

TEST_F(Slurm, APipelineGoesFromDocumentsToAnEvaluation) {
  write("tiny.toml", "[tokenizer]\nvocab_size = 300\n[model]\nhidden_size = 32\nnum_hidden_layers = 1\nnum_attention_heads = 2\n"
                     "[training]\nseq_len = 32\nmicro_batch_size = 2\nsteps = 10\n");
  ProcessOptions o = options();
  o.folder = path("");
  o.environment.emplace_back("TW_ROOT", TW_LAUNCH "/..");
  const Ended e = slurm({"run", TW_LAUNCH "/slurm/pipeline", "--train", "-n 2", documents(), path("tiny.toml"), "--out", path("run")}, o);
  ASSERT_EQ(e.code, 0) << e.err;
  for (const char* step : {"tokenize ", "train ", "eval "}) {
    const size_t at = e.out.find(step);
    ASSERT_NE(at, std::string::npos) << e.out;
    const std::string job = std::to_string(std::atoi(e.out.c_str() + at + std::string(step).size()));
    EXPECT_EQ(end_of(job), "COMPLETED") << step << log(job);
  }
  EXPECT_TRUE(json(fs::path(path("run")) / "eval.json").is_object());
  EXPECT_EQ(json(fs::path(path("run")) / "train.json")["step"], 10);
}

}  // namespace
}  // namespace tw
