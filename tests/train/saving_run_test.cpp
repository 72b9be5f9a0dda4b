// Runs that save while they train.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "src/checkpoint/checkpoint.h"
#include "src/core/file.h"
#include "src/core/log.h"
#include "src/core/rng.h"
#include "src/core/thread_team.h"
#include "src/train/training_run.h"
#include "tests/support/thread_comm.h"
#include "tests/train/train_fixture.h"

namespace tw {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int64_t kSteps = 40;

class SavingRun : public testing::Test {
 protected:
  SavingRun() : folder_(fs::temp_directory_path() / ("tw-saving-" + std::to_string(getpid()))) {
    set_log_level(LogLevel::quiet);
    fs::create_directories(folder_);
    const Rng rng{3, RngStream::test, 0, 0};
    std::vector<uint16_t> ids(3000);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = uint16_t(rng.bits(i) % 37);
    write_file_atomically(folder_ / "tokens.u16", {reinterpret_cast<const char*>(ids.data()), ids.size() * 2});
  }
  ~SavingRun() override {
    set_log_level(LogLevel::info);
    fs::remove_all(folder_);
  }

  TrainingOutcome start(const std::string& run, int ranks, std::vector<std::string> settings,
                        const std::function<void(int64_t step)>& on_step = [](int64_t) {}) {
    TrainingOutcome outcome;
    std::mutex mutex;
    run_ranks(ranks, [&](Communicator& comm) {
      std::vector<std::string> words = {"--data.train", (folder_ / "tokens.u16").string(), "--model.vocab_size", "37", "--model.hidden_size",
                                        "16", "--model.num_hidden_layers", "1", "--model.num_attention_heads", "2", "--training.seq_len", "8",
                                        "--training.micro_batch_size", "1", "--training.steps", std::to_string(kSteps),
                                        "--parallelism.virtual_ranks", "4"};
      words.insert(words.end(), settings.begin(), settings.end());
      Config config = load_config({}, words);
      const EnergyMeter meter(EnergyOptions{.enabled = false}, comm);
      fs::create_directories(folder_ / run);
      ThreadTeam team(1);
      const TrainingOutcome mine = train({.config = config,
                                          .comm = comm,
                                          .stream = Stream(team),
                                          .folder = folder_ / run,
                                          .meter = meter,
                                          .show_progress = false,
                                          .on_step = [&](int64_t step, int64_t) { on_step(step); }});
      const std::lock_guard lock(mutex);
      if (comm.rank() == 0) outcome = mine;
    });
    return outcome;
  }
  std::string weights(const std::string& run) const { return state_hash(Checkpoint::open(folder_ / run)); }
  nlohmann::json saves(const std::string& run) const { return nlohmann::json::parse(read_file(folder_ / run / "train.json"))["checkpoints"]; }

  fs::path folder_;
};

TEST_F(SavingRun, SavingChangesNoBitAndEverySnapshotIsOfItsStep) {
  start("plain", 1, {});
  const std::string want = weights("plain");
  // Each step's state, saved while nothing else goes on.
  start("waiting", 1, {"--checkpoint.async", "false", "--checkpoint.interval", "1", "--checkpoint.keep_every", "1"});
  EXPECT_EQ(saves("waiting")["saved"], kSteps);
  EXPECT_FALSE(saves("waiting")["in_background"]);
  for (const int ranks : {1, 2, 4}) {
    const std::string run = "ranks" + std::to_string(ranks);
    EXPECT_EQ(start(run, ranks, {"--checkpoint.interval", "1", "--checkpoint.keep_every", "1"}).code, ExitCode::ok);
    EXPECT_EQ(weights(run), want) << ranks << " ranks";
    const auto record = saves(run);
    EXPECT_TRUE(record["in_background"]);
    EXPECT_EQ(record["saved"].get<int64_t>() + record["left_out"].get<int64_t>(), kSteps) << record;
    EXPECT_GT(record["saved"], 1);
    EXPECT_GT(record["snapshot_bytes"], 0);
    int64_t found = 0;
    for (int64_t step = 1; step <= kSteps; ++step) {
      const std::string name = fmt::format("step-{:08d}.a", step);
      for (const auto& entry : fs::directory_iterator(folder_ / run / "checkpoints"))
        if (entry.path().filename().string().starts_with(name)) {
          ++found;
          for (const auto& same : fs::directory_iterator(folder_ / "waiting" / "checkpoints"))
            if (same.path().filename().string().starts_with(name)) {
              EXPECT_EQ(state_hash(Checkpoint::open(entry.path())), state_hash(Checkpoint::open(same.path()))) << name;
            }
        }
    }
    EXPECT_EQ(found, record["saved"].get<int64_t>());
  }
}

TEST_F(SavingRun, AnIntervalOfTimeIsRankZerosClock) {
  EXPECT_EQ(start("run", 2, {"--checkpoint.interval_seconds", "0.001"}).code, ExitCode::ok);
  EXPECT_GT(saves("run")["saved"], 1);
  EXPECT_EQ(start("never", 2, {"--checkpoint.interval_seconds", "100000"}).code, ExitCode::ok);
  EXPECT_EQ(saves("never")["saved"], 1) << "the last";
}

// A save that cannot be is told and counted, training goes on, and the next one is tried.
TEST_F(SavingRun, ABadDiskCostsCheckpointsAlone) {
  start("plain", 1, {});
  for (const int ranks : {1, 2}) {
    const std::string run = "ranks" + std::to_string(ranks);
    const fs::path where = folder_ / run / "checkpoints", record = folder_ / run / "train.json";
    testing::internal::CaptureStderr();
    const auto outcome = start(run, ranks, {"--checkpoint.interval", "1"}, [&](int64_t step) {
      if (step == 0) std::ofstream(where) << "in the way", fs::create_directories(record);
      // The writer of the background is given the time to meet it, however busy the machine.
      const fs::path metrics = folder_ / run / "metrics.jsonl";
      const bool met = fs::exists(metrics) && read_file(metrics).find("\"checkpoint_saved\":false") != std::string::npos;
      if (step > 0 && !met) std::this_thread::sleep_for(std::chrono::milliseconds(300));
      if (step < kSteps / 2 || (!met && step < kSteps - 1)) return;
      std::error_code none;
      if (fs::is_regular_file(where, none)) fs::remove(where);
      if (step == kSteps) fs::remove(record);  // what cannot be written meanwhile ends nothing either
    });
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(outcome.code, ExitCode::ok);
    EXPECT_THAT(said, HasSubstr("was not saved"));
    EXPECT_THAT(said, HasSubstr("cannot create the folder"));
    EXPECT_THAT(said, HasSubstr("train.json"));
    EXPECT_GE(saves(run)["failed"], 1);
    EXPECT_THAT(saves(run)["last_error"].get<std::string>(), HasSubstr("cannot create the folder"));
    EXPECT_EQ(weights(run), weights("plain"));
    EXPECT_THAT(read_file(folder_ / run / "metrics.jsonl"), HasSubstr("\"checkpoint_saved\":false"));
  }
}

TEST_F(SavingRun, AnotherRunInTheFolderEndsThisOne) {
  for (const char* async : {"true", "false"}) {
    const std::string run = std::string("run-") + async;
    std::optional<RunLease> other;
    try {
      start(run, 2, {"--checkpoint.interval", "2", "--checkpoint.async", async}, [&](int64_t step) {
        // Between two saves, which hold a lease of their own for their time.
        for (int tries = 0; step >= 4 && !other && tries < 1000; ++tries) {
          try {
            other.emplace(RunLease::acquire(folder_ / run / "checkpoints"));
          } catch (const Error&) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
          }
        }
      });
      ADD_FAILURE() << run;
    } catch (const Error& e) {
      EXPECT_EQ(int(e.code()), int(ExitCode::fenced)) << e.what();
    }
    other.reset();
  }
}

TEST_F(SavingRun, TheBestIsSavedAndKept) {
  const std::vector<std::string> settings = {"--data.val", (folder_ / "tokens.u16").string(), "--eval.interval", "2", "--eval.steps", "20",
                                             "--checkpoint.keep_best", "true", "--checkpoint.keep_latest_k", "1",
                                             "--optimizer.lr", "0.3", "--lr_scheduler.warmup_steps", "0"};
  for (const char* async : {"false", "true"}) {
    const std::string run = std::string("run-") + async;
    std::vector<std::string> words = settings;
    words.insert(words.end(), {"--checkpoint.async", async});
    EXPECT_EQ(start(run, 2, words).code, ExitCode::ok);
    double lowest = 1e9;
    int64_t lowest_step = 0;
    std::ifstream metrics(folder_ / run / "metrics.jsonl");
    for (std::string line; std::getline(metrics, line);)
      if (const auto json = nlohmann::json::parse(line); json.contains("eval_loss") && json["eval_loss"].get<double>() < lowest)
        lowest = json["eval_loss"], lowest_step = json["step"];
    const Checkpoint best = Checkpoint::open(folder_ / run / "checkpoints" / "best");
    EXPECT_NEAR(lowest_validation_loss(folder_ / run / "checkpoints"), best.info().validation_loss, 0);
    EXPECT_EQ(best.info().step, lowest_step) << run;  // in the background too: it waits for the save before
    EXPECT_NEAR(best.info().validation_loss, lowest, 1e-5);
    EXPECT_EQ(Checkpoint::open(folder_ / run).info().step, kSteps) << "the newest is another";
  }
}

}  // namespace
}  // namespace tw
