// Runs that end at a budget, and go on.
#include <gtest/gtest.h>
#include <unistd.h>

#include <mutex>
#include <nlohmann/json.hpp>

#include "src/checkpoint/checkpoint.h"
#include "src/core/file.h"
#include "src/core/rng.h"
#include "src/core/thread_team.h"
#include "src/train/training_run.h"
#include "tests/support/thread_comm.h"
#include "tests/train/train_fixture.h"

namespace tw {
namespace {

namespace fs = std::filesystem;

class BudgetRun : public testing::Test {
 protected:
  BudgetRun() : folder_(fs::temp_directory_path() / ("tw-budget-" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
    const Rng rng{3, RngStream::test, 0, 0};
    std::vector<uint16_t> ids(3000);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = uint16_t(rng.bits(i) % 37);
    write_file_atomically(folder_ / "tokens.u16", {reinterpret_cast<const char*>(ids.data()), ids.size() * 2});
  }
  ~BudgetRun() override { fs::remove_all(folder_); }

  struct Case {
    std::string run;
    int ranks = 1;
    Budget budget = {};
    EnergyOptions energy = {};
    int64_t jump_at = 1 << 30;  // the meter leaps by 5 kJ when this step is done, and stands still else
    double scanned_seconds = 0;  // of the run before it
  };
  TrainingOutcome start(const Case& c) {
    const fs::path run = folder_ / c.run, meter_file = folder_ / "joules";
    write_file_atomically(meter_file, "7");
    TrainingOutcome outcome;
    run_ranks(c.ranks, [&](Communicator& comm) {
      Config config = load_config({}, {"--data.train", (folder_ / "tokens.u16").string(), "--model.vocab_size", "37", "--model.hidden_size",
                                       "16", "--model.num_hidden_layers", "1", "--model.num_attention_heads", "2", "--training.seq_len", "8",
                                       "--training.micro_batch_size", "1", "--training.steps", "12", "--parallelism.virtual_ranks", "4"});
      EnergyOptions energy = c.energy;
      energy.source = "file:" + meter_file.string();
      const EnergyMeter meter(energy, comm);
      std::optional<PhaseLedger> ledger;
      if (comm.rank() == 0) {
        fs::create_directories(run);
        ledger.emplace(run, energy);
        ledger->set_meter(meter.kind(), meter.text());
        if (c.scanned_seconds > 0) ledger->add("scan", c.scanned_seconds, 0, 0);
      }
      ThreadTeam team(1);
      const TrainingOutcome mine = train({.config = config,
                                          .comm = comm,
                                          .stream = Stream(team),
                                          .folder = run,
                                          .meter = meter,
                                          .ledger = ledger ? &*ledger : nullptr,
                                          .budget = c.budget,
                                          .show_progress = false,
                                          .on_step = [&](int64_t step, int64_t) {
                                            if (step == c.jump_at) write_file_atomically(meter_file, "5007");
                                          }});
      if (ledger) ledger->save();
      static std::mutex mutex;
      std::lock_guard lock(mutex);
      if (outcome.steps > 0) {
        EXPECT_EQ(outcome.reason, mine.reason) << "all ranks say the same";
      }
      if (comm.rank() == 0 || outcome.steps == 0) outcome = mine;
      EXPECT_EQ(mine.step, outcome.step);
      EXPECT_EQ(mine.code, outcome.code);
    });
    return outcome;
  }
  std::string weights(const std::string& run) const { return state_hash(Checkpoint::open(folder_ / run)); }
  nlohmann::json json(const std::string& file) const { return nlohmann::json::parse(read_file(folder_ / file)); }

  fs::path folder_;
};

TEST_F(BudgetRun, StopsAtTheSameStepOnAnyRanksAndGoesOnToTheSameBits) {
  EXPECT_EQ(start({.run = "whole"}).code, ExitCode::ok);
  const std::string want = weights("whole");
  for (const int ranks : {1, 2, 4}) {
    const std::string run = "ranks" + std::to_string(ranks);
    const Budget budget{.joules = 1000}, larger{.joules = 1e12};  // by the leap, a checkpoint takes much
    const TrainingOutcome first = start({.run = run, .ranks = ranks, .budget = budget, .jump_at = 5});
    EXPECT_EQ(first.code, ExitCode::budget);
    EXPECT_EQ(first.step, 6) << "the first boundary that sees the leap, on " << ranks << " ranks";
    EXPECT_FALSE(first.checkpoint.empty());
    EXPECT_NE(first.reason.find("5 kJ of 1 kJ"), std::string::npos) << first.reason;
    EXPECT_GT(first.enough.joules, 5000);
    // Joules of the first start count in the second: the meter itself begins at 0 again.
    const TrainingOutcome second = start({.run = run, .ranks = ranks, .budget = budget});
    EXPECT_EQ(second.code, ExitCode::budget);
    EXPECT_EQ(second.step, 6);
    const TrainingOutcome third = start({.run = run, .ranks = ranks, .budget = larger});
    EXPECT_EQ(third.code, ExitCode::ok);
    EXPECT_EQ(third.step, 12);
    EXPECT_EQ(weights(run), want) << ranks << " ranks";
  }
}

TEST_F(BudgetRun, TimeOfAllPhasesCounts) {
  for (const int ranks : {1, 2}) {
    const std::string run = "time" + std::to_string(ranks);
    const TrainingOutcome none = start({.run = run, .ranks = ranks, .budget = {.seconds = 1000}, .scanned_seconds = 2000});
    EXPECT_EQ(none.code, ExitCode::budget);
    EXPECT_EQ(none.step, 0);
    EXPECT_TRUE(none.checkpoint.empty());
    EXPECT_NE(none.reason.find("33 min 20 s of 16 min 40 s"), std::string::npos) << none.reason;
    EXPECT_EQ(start({.run = run, .ranks = ranks, .budget = {.seconds = 3000}}).code, ExitCode::ok);
  }
}

TEST_F(BudgetRun, EurosOfNodeHoursCount) {
  const EnergyOptions price{.price_eur_per_node_hour = 36};  // a cent a second
  const TrainingOutcome none = start({.run = "eur", .budget = {.eur = 10}, .energy = price, .scanned_seconds = 2000});
  EXPECT_EQ(none.code, ExitCode::budget);
  EXPECT_EQ(none.step, 0);
  EXPECT_EQ(start({.run = "eur", .budget = {.eur = 30}, .energy = price}).code, ExitCode::ok);
}

TEST_F(BudgetRun, TheTrainingRecordHoldsThePredictionAndTheMeasurement) {
  ASSERT_EQ(start({.run = "run", .ranks = 2}).code, ExitCode::ok);
  const auto train = json("run/train.json");
  const auto& time = train.at("time");
  EXPECT_EQ(time.at("predicted_after_step"), 4) << "three steps behind the first";
  EXPECT_GT(time.at("predicted_seconds").get<double>(), 0);
  EXPECT_GT(time.at("measured_seconds").get<double>(), 0);
  EXPECT_EQ(train.at("energy").at("kind"), "measured");
  EXPECT_EQ(train.at("energy").at("measured_joules"), 0) << "the meter stood still";
}

TEST_F(BudgetRun, JoulesBetweenLinesOfMetricsAreNotLost) {
  // The leap falls between steps 5 and 6; all of it must be in the ledger, in whatever phase.
  ASSERT_EQ(start({.run = "run", .jump_at = 5}).code, ExitCode::ok);
  EXPECT_EQ(json("run/phases.json").at("total").at("joules"), 5000);
  EXPECT_EQ(json("run/phases.json").at("phases").at("train").at("joules"), 5000);
}

}  // namespace
}  // namespace tw
