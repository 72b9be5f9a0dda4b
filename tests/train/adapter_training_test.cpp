// Runs that train low-rank adapters: the promises of every run hold for them, too.
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>

#include "comm/self.h"
#include "src/checkpoint/base.h"
#include "src/core/fault.h"
#include "src/core/thread_team.h"
#include "tests/nn/small_model.h"
#include "tests/support/thread_comm.h"
#include "tests/train/train_fixture.h"

namespace tw {
namespace {

namespace fs = std::filesystem;

// A folder of checkpoints with the base of adapters in it.
class AdapterTraining : public testing::Test {
 protected:
  AdapterTraining() { base_ = save_base(1); }
  ~AdapterTraining() override { fs::remove_all(folder_); }

  std::string save_base(uint64_t seed) const { return save_random_base(folder_, small_config(Architecture::llama, true), seed); }
  static TrainerOptions options(DType dtype = DType::fp32) {
    TrainerOptions o = train_options({.dtype = dtype, .lr = 1e-2});
    o.adapters = {.rank = 3, .alpha = 6};
    return o;
  }
  void begin(Trainer& trainer) const {
    trainer.load_base(Checkpoint::open(base_folder(folder_, base_)), base_);
    trainer.initialize(1);
  }
  void save(Trainer& trainer, Communicator& comm) const {
    CheckpointInfo info;
    trainer.describe(info);
    save_checkpoint({.folder = folder_}, info, trainer.slices(), comm);
  }
  void expect_refused(const std::string& words, const TrainerOptions& o) const {
    const auto comm = make_self_communicator();
    ThreadTeam team(1);
    Trainer other(o, made_up_batches(), *comm, Stream(team));
    try {
      other.load(Checkpoint::open(folder_), true);
      ADD_FAILURE() << "taken: " << words;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
      EXPECT_NE(std::string(e.what()).find(words), std::string::npos) << e.what();
    }
  }

  fs::path folder_ = fs::temp_directory_path() / ("tw-adapters-" + std::to_string(::getpid()));
  std::string base_;
};

TEST_F(AdapterTraining, EqualBitsOnAnyRanksAndThreadsAndTheLossFalls) {
  for (DType dtype : {DType::fp32, DType::bf16}) {
    std::string want;
    for (const auto& [ranks, threads] : {std::pair(1, 1), std::pair(1, 3), std::pair(2, 1), std::pair(4, 2), std::pair(8, 1)})
      run_ranks(ranks, [&](Communicator& comm) {
        ThreadTeam team(threads);
        Trainer trainer(options(dtype), made_up_batches(), comm, Stream(team));
        begin(trainer);
        const float first = trainer.step().loss;
        float last = 0;
        for (int s = 1; s < 40; ++s) last = trainer.step().loss;
        EXPECT_LT(last, 0.9f * first) << name_of(dtype);
        for (const std::string& hash : all_gather_text(comm, weights_hash(trainer))) {
          if (want.empty() && comm.rank() == 0) want = hash;
          if (comm.rank() == 0) EXPECT_EQ(hash, want) << ranks << " ranks, " << threads << " threads, " << name_of(dtype);
        }
        trainer.check_replicas();
        EXPECT_TRUE(trainer.integrity().alarms().empty());
      });
  }
}

TEST_F(AdapterTraining, StopOnFourGoOnWithTwoAndThenOne) {
  std::string want;
  const auto train = [&](int ranks, int64_t begin_step, int64_t end_step, bool whole) {
    run_ranks(ranks, [&](Communicator& comm) {
      ThreadTeam team(1);
      Trainer trainer(options(DType::bf16), made_up_batches(), comm, Stream(team));
      if (begin_step == 0) begin(trainer);
      else trainer.load(Checkpoint::open(folder_), true);
      EXPECT_EQ(trainer.steps_done(), begin_step);
      while (trainer.steps_done() < end_step) trainer.step();
      if (!whole) save(trainer, comm);
      if (whole && comm.rank() == 0) want = weights_hash(trainer);
      if (!whole && end_step == 30) EXPECT_EQ(weights_hash(trainer), want);
    });
  };
  train(1, 0, 30, true);
  train(4, 0, 10, false), train(2, 10, 20, false), train(1, 20, 30, false);
  const Checkpoint last = Checkpoint::open(folder_);
  std::set<std::string> names;
  int64_t numbers = 0;
  for (const auto& t : last.tensors()) {
    EXPECT_TRUE(t.name.ends_with(".lora_a") || t.name.ends_with(".lora_b")) << t.name;
    names.insert(t.name), numbers += t.shape.count();
  }
  EXPECT_EQ(names.size(), size_t(2 * 4 * 2)) << "adapters alone";
  EXPECT_EQ(numbers, 3 * adapter_table(options().model, options().adapters).parameter_count()) << "weights, m and v";
  EXPECT_EQ(last.info().base_hash, base_);
}

TEST_F(AdapterTraining, NothingIsLaidOutForFrozenWeights) {
  const auto comm = make_self_communicator();
  ThreadTeam team(1);
  const TrainerOptions with = options(), without = train_options({});
  Trainer adapters(with, made_up_batches(), *comm, Stream(team)), whole(without, made_up_batches(), *comm, Stream(team));
  const int64_t all = ParameterTable(with.model).flat_count(), trained = adapter_table(with.model, with.adapters).flat_count();
  EXPECT_LT(trained, all);
  const double share = double(trained) / double(all) * 1.7;  // buckets and virtual ranks round sizes up
  for (const char* group : {"gradients", "optimizer"})
    EXPECT_LT(double(adapters.plan().bytes_of(group)), share * double(whole.plan().bytes_of(group))) << group;
  EXPECT_GE(adapters.plan().bytes_of("weights"), size_t(all + trained) * sizeof(float));
  begin(adapters);
  adapters.step();
  const int64_t before = allocation_count();
  for (int i = 0; i < 3; ++i) adapters.step();
  EXPECT_EQ(allocation_count(), before);
}

TEST_F(AdapterTraining, WhatDoesNotBelongTogetherIsNamed) {
  {
    const auto comm = make_self_communicator();
    ThreadTeam team(1);
    Trainer trainer(options(), made_up_batches(), *comm, Stream(team));
    begin(trainer);
    trainer.step();
    save(trainer, *comm);
    try {
      trainer.load_base(Checkpoint::open(base_folder(folder_, save_base(2))), base_);
      ADD_FAILURE() << "another base was taken";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("not the weights that the adapters were trained beside"), std::string::npos) << e.what();
    }
  }
  expect_refused("not whole weights", train_options({}));
  TrainerOptions other = options();
  other.adapters.rank = 4;
  expect_refused("\"rank\":3", other);
  // Other weights where the base should lie.
  const fs::path place = base_folder(folder_, base_);
  fs::rename(place, folder_ / "away");
  expect_refused("copy the folder base along", options());
  const std::string second = save_base(2);
  fs::rename(base_folder(folder_, second), place);
  expect_refused("not the weights that the adapters were trained beside", options());
}

#if defined(TW_FAULT_POINTS)
TEST_F(AdapterTraining, AFlippedBitOfAFrozenWeightIsFoundBeforeACheckpointAndMendedByOne) {
  run_ranks(2, [&](Communicator& comm) {
    ThreadTeam team(1);
    Trainer trainer(options(), made_up_batches(), comm, Stream(team));
    begin(trainer);
    trainer.step();
    trainer.check_replicas();
    save(trainer, comm);
    comm.barrier();
    if (comm.rank() == 0) set_fault("train.frozen:1:1:flip:7");
    comm.barrier();
    trainer.step();
    try {
      trainer.check_replicas();
      ADD_FAILURE() << "not seen";
    } catch (const Corruption& e) {
      EXPECT_EQ(e.alarm.kind, AlarmKind::state);
      EXPECT_EQ(e.alarm.rank, 1);
      EXPECT_FALSE(e.lasting);
    }
    comm.barrier();
    if (comm.rank() == 0) set_fault("");
    comm.barrier();
    trainer.load(Checkpoint::open(folder_), true);
    trainer.step();
    trainer.check_replicas();
  });
}
#endif

}  // namespace
}  // namespace tw
