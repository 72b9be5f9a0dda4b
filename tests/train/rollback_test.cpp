// A stretch of the data is poisoned: the loss rises and stays high, the run goes back and leaves the batches out, and nobody has to do anything.
#include "src/train/rollback.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "src/checkpoint/names.h"
#include "src/core/fault.h"
#include "src/core/file.h"
#include "src/core/rng.h"
#include "src/core/signals.h"
#include "src/core/thread_team.h"
#include "src/train/training_run.h"
#include "tests/support/thread_comm.h"
#include "tests/train/train_fixture.h"

namespace tw {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSeqLen = 12, kBatch = 16, kLength = 160;

class Rollback : public testing::Test {
 protected:
  Rollback() : folder_(fs::temp_directory_path() / ("tw-rollback-" + std::to_string(getpid()))) { fs::create_directories(folder_); }
  ~Rollback() override { fs::remove_all(folder_); }

  // Tokens in the order of training: a rule that is learned, but noise in steps (first, last].
  fs::path tokens(const std::string& name, uint64_t seed, int64_t first, int64_t last) const {
    const Rng rng{seed, RngStream::test, 0, 0};
    std::vector<uint16_t> ids(size_t((kLength + 80) * kBatch * kSeqLen));
    uint32_t state = 1;
    for (size_t i = 0; i < ids.size(); ++i) {
      const int64_t step = int64_t(i) / (kBatch * kSeqLen);
      state = rng.bits(i) % 10 == 0 ? rng.bits(i + 1000000) % 37 : (5 * state + 3) % 37;
      ids[i] = step >= first && step < last ? uint16_t(rng.bits(i + 2000000) % 37) : uint16_t(state);
    }
    write_file_atomically(folder_ / name, {reinterpret_cast<const char*>(ids.data()), ids.size() * 2});
    return folder_ / name;
  }

  struct Case {
    std::string run;
    fs::path tokens;
    int ranks = 1;
    int64_t signal_at = -1;  // a stop is asked for when this step is done
    std::vector<std::string> settings = {};
  };
  TrainingOutcome start(const Case& c) const {
    TrainingOutcome outcome;
    run_ranks(c.ranks, [&](Communicator& comm) {
      std::vector<std::string> settings = {"--data.train", c.tokens.string(), "--data.shuffle", "false", "--model.vocab_size", "37",
                                           "--model.hidden_size", "16", "--model.num_hidden_layers", "1", "--model.num_attention_heads", "2",
                                           "--training.seq_len", std::to_string(kSeqLen), "--training.micro_batch_size", "2", "--training.global_batch_size",
                                           std::to_string(kBatch), "--training.steps", std::to_string(kLength), "--parallelism.virtual_ranks", "4",
                                           "--checkpoint.interval", "20", "--checkpoint.async", "false", "--optimizer.lr", "1e-2", "--metrics.tensorboard", "false"};
      settings.insert(settings.end(), c.settings.begin(), c.settings.end());
      Config config = load_config({}, settings);
      const EnergyMeter meter({.enabled = false}, comm);
      if (comm.rank() == 0) fs::create_directories(folder_ / c.run);
      comm.barrier();
      ThreadTeam team(1);
      const TrainingOutcome mine = train({.config = config, .comm = comm, .stream = Stream(team), .folder = folder_ / c.run, .meter = meter,
                                          .show_progress = false, .on_step = [&](int64_t step, int64_t) {
                                            if (step == c.signal_at) ::raise(SIGUSR1);
                                          }});
      if (comm.rank() == 0) outcome = mine;
    });
    return outcome;
  }
  std::string weights(const std::string& run) const { return state_hash(Checkpoint::open(folder_ / run)); }
  std::vector<nlohmann::json> lines(const std::string& run, const char* file) const {
    std::vector<nlohmann::json> all;
    if (!fs::exists(folder_ / run / file)) return all;
    std::istringstream text(read_file(folder_ / run / file));
    for (std::string line; std::getline(text, line);) all.push_back(nlohmann::json::parse(line));
    return all;
  }
  std::vector<nlohmann::json> steps(const std::string& run) const {  // evaluations and saves left out
    auto all = lines(run, "metrics.jsonl");
    std::erase_if(all, [](const nlohmann::json& line) { return !line.contains("loss"); });
    return all;
  }
  double last_losses(const std::string& run) const {  // mean of 20 steps
    const auto all = steps(run);
    double sum = 0;
    for (size_t i = all.size() - 20; i < all.size(); ++i) sum += all[i].at("loss").get<double>();
    return sum / 20;
  }
  const fs::path folder_;
};

TEST_F(Rollback, APoisonedStretchIsLeftOutWithoutHelp) {
  std::vector<double> clean;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const std::string run = "clean" + std::to_string(seed);
    EXPECT_EQ(start({.run = run, .tokens = tokens(run + ".u16", seed, 0, 0)}).code, ExitCode::ok);
    EXPECT_TRUE(lines(run, "integrity.jsonl").empty());
    clean.push_back(last_losses(run));
  }
  const fs::path poisoned = tokens("poisoned.u16", 1, 105, 111);
  EXPECT_EQ(start({.run = "poisoned", .tokens = poisoned}).code, ExitCode::ok);
  const auto events = lines("poisoned", "integrity.jsonl");
  ASSERT_EQ(events.size(), 1u) << "one rollback";
  EXPECT_EQ(events[0].at("kind"), "rollback");
  EXPECT_EQ(events[0].at("to"), 100);
  const auto record = nlohmann::json::parse(read_file(folder_ / "poisoned" / "train.json"));
  ASSERT_EQ(record.at("integrity").at("left_out").size(), 1u);
  EXPECT_EQ(record.at("integrity").at("left_out")[0].at("first"), 100);
  EXPECT_EQ(Checkpoint::open(folder_ / "poisoned").info().samples, (kLength + events[0].at("batches_left_out").get<int64_t>()) * kBatch);
  double mean = 0, square = 0;
  for (const double x : clean) mean += x / 4;
  for (const double x : clean) square += (x - mean) * (x - mean) / 3;
  const double got = last_losses("poisoned");
  std::cout << fmt::format("loss of the last 20 steps: clean {:.4f} +- {:.4f} (four runs), poisoned {:.4f}\n", mean, std::sqrt(square), got);
  EXPECT_LT(std::abs(got - mean), 4 * std::sqrt(square) + 0.02);
  int64_t step = 0;  // each step stands once, in order
  for (const auto& line : steps("poisoned")) EXPECT_EQ(line.at("step").get<int64_t>(), ++step);
  EXPECT_EQ(step, kLength);

  // The same on other ranks, and over a restart.
  EXPECT_EQ(start({.run = "four", .tokens = poisoned, .ranks = 4}).code, ExitCode::ok);
  EXPECT_EQ(weights("four"), weights("poisoned"));
  catch_stop_signals();
  EXPECT_EQ(start({.run = "stopped", .tokens = poisoned, .ranks = 2, .signal_at = 130}).code, ExitCode::requeue);
  clear_stop_signal();
  EXPECT_EQ(start({.run = "stopped", .tokens = poisoned}).code, ExitCode::ok);
  EXPECT_EQ(weights("stopped"), weights("poisoned"));
}

TEST_F(Rollback, EndsWhereLeavingOutDoesNotHelp) {
  const fs::path poisoned = tokens("poisoned.u16", 1, 105, kLength + 80);
  try {
    start({.run = "hopeless", .tokens = poisoned, .settings = {"--integrity.rollbacks", "2"}});
    FAIL() << "trained on noise";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::numerics) << e.what();
    EXPECT_NE(std::string(e.what()).find("the checkpoint of step 100"), std::string::npos) << e.what();
  }
  EXPECT_EQ(lines("hopeless", "integrity.jsonl").size(), 2u);
  // Without rollbacks it goes on.
  EXPECT_EQ(start({.run = "stubborn", .tokens = poisoned, .settings = {"--integrity.rollbacks", "0"}}).code, ExitCode::ok);
}

#if defined(TW_FAULT_POINTS)
TEST_F(Rollback, DamagedStateComesBackFromTheCheckpoint) {
  const fs::path clean = tokens("clean.u16", 1, 0, 0);
  EXPECT_EQ(start({.run = "untouched", .tokens = clean}).code, ExitCode::ok);
  set_fault("train.v:1:47:flip:3");
  EXPECT_EQ(start({.run = "flipped", .tokens = clean, .ranks = 2}).code, ExitCode::ok);
  EXPECT_NE(last_flip(), "");
  set_fault("");
  EXPECT_EQ(weights("flipped"), weights("untouched"));
  const auto events = lines("flipped", "integrity.jsonl");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].at("kind"), "state");
  EXPECT_EQ(events[0].at("rank"), 1);
  EXPECT_EQ(events[1].at("to"), 40);

  // A rank whose memory fails again and again is not gone on with.
  set_fault("train.v:1:47:flips:3");
  try {
    start({.run = "failing", .tokens = clean, .ranks = 2});
    ADD_FAILURE() << "trained on failing memory";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::corruption) << e.what();
    EXPECT_NE(std::string(e.what()).find("rank 1"), std::string::npos) << e.what();
  }
  set_fault("");
}
#endif

}  // namespace
}  // namespace tw
