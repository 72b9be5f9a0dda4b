// Trainer::load with checkpoints of other runs and with state that nobody wrote.
#include <gtest/gtest.h>
#include <unistd.h>

#include "comm/self.h"
#include "src/checkpoint/checkpoint.h"
#include "src/core/thread_team.h"
#include "tests/train/train_fixture.h"

namespace tw {
namespace {

class StoredState : public testing::Test {
 protected:
  void SetUp() override {
    trainer_.initialize(1);
    for (int s = 0; s < 3; ++s) trainer_.step();
    trainer_.describe(info_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void save() {
    std::filesystem::remove_all(folder_);
    save_checkpoint({.folder = folder_}, info_, trainer_.slices(), *comm_);
  }
  void expect_refused(ExitCode code, const std::string& words, TrainerOptions options = train_options({})) {
    save();
    try {
      Trainer other(options, made_up_batches(), *comm_, Stream(team_));
      other.load(Checkpoint::open(folder_), true);
      ADD_FAILURE() << "taken: " << words;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      EXPECT_NE(std::string(e.what()).find(words), std::string::npos) << e.what();
    }
  }

  ThreadTeam team_{1};
  std::unique_ptr<Communicator> comm_ = make_self_communicator();
  Trainer trainer_{train_options({}), made_up_batches(), *comm_, Stream(team_)};
  CheckpointInfo info_;
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("tw-stored-state-" + std::to_string(::getpid()));
};

TEST_F(StoredState, WeightsAloneStartARunOfTheirOwn) {
  save();
  Trainer other(train_options({}), made_up_batches(), *comm_, Stream(team_));
  other.load(Checkpoint::open(folder_), false);
  EXPECT_EQ(weights_hash(other), weights_hash(trainer_));
  EXPECT_EQ(other.steps_done(), 0);
  EXPECT_EQ(other.tokens_done(), 0);
  other.step();
  other.load(Checkpoint::open(folder_), false);
  for (const TensorSlice& s : other.slices()) {
    if (s.slot == "weight") continue;
    for (int64_t i = 0; i < s.data.count(); ++i) ASSERT_EQ(s.data.as<float>()[i], 0) << s.name << " " << s.slot;
  }
}

TEST_F(StoredState, OtherModelsDataAndBatchesAreNamed) {
  expect_refused(ExitCode::data, "another model", train_options({.type = Architecture::gpt2}));
  expect_refused(ExitCode::config, "training.global_batch_size is 32", train_options({.global_batch_size = 32}));
  info_.data_fingerprint = "other";
  expect_refused(ExitCode::data, "the training data or its blend changed");
}

TEST_F(StoredState, DamageIsRefusedBeforeAWeightIsTaken) {
  for (const std::string state :
       {"", "[]", "{}", "nonsense", R"({"updates":"3","skipped":0,"global_batch_size":16,"skip_rule":{}})",
        R"({"updates":-1,"skipped":4,"global_batch_size":16,"skip_rule":{}})",
        R"({"updates":3,"skipped":9223372036854775807,"global_batch_size":16,"skip_rule":{}})",
        R"({"updates":3,"skipped":0,"global_batch_size":16,"skip_rule":{"losses":["a"],"norms":[1],"consecutive":0}})",
        R"({"updates":3,"skipped":0,"global_batch_size":16,"skip_rule":[]})"}) {
    info_.trainer_json = state;
    expect_refused(ExitCode::data, "state");
  }
  info_.trainer_json = std::string(1 << 20, '[');
  expect_refused(ExitCode::data, "nested");
  info_.model_json = std::string(1 << 20, '[');
  expect_refused(ExitCode::data, "nested");
  info_.model_json = R"({"type":"llama"})";
  expect_refused(ExitCode::data, "vocab_size");
}

}  // namespace
}  // namespace tw
