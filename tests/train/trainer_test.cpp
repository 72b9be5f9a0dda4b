#include "src/train/trainer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "comm/self.h"
#include "src/core/thread_team.h"
#include "tests/support/thread_comm.h"
#include "tests/train/train_fixture.h"

namespace tw {
namespace {

int64_t resident_bytes() {
  int64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;  // in pages
  return resident * ::sysconf(_SC_PAGESIZE);
}

struct LocalRun {
  explicit LocalRun(TrainerOptions options, int threads = 2)
      : team(threads), comm(make_self_communicator()), trainer(options, made_up_batches(), *comm, Stream(team)) {
    trainer.initialize(1);
  }
  ThreadTeam team;
  std::unique_ptr<Communicator> comm;
  Trainer trainer;
};

TEST(Trainer, LearnsTheRuleOfItsTokens) {
  for (Architecture type : {Architecture::gpt2, Architecture::llama})
    for (DType dtype : {DType::fp32, DType::bf16}) {
      LocalRun run(train_options({.type = type, .dtype = dtype, .lr = 1e-2}));
      const float first = run.trainer.step().loss;
      float last = 0;
      for (int i = 1; i < 60; ++i) last = run.trainer.step().loss;
      EXPECT_NEAR(first, std::log(37.0), 0.4);
      EXPECT_LT(last, 0.6 * first) << name_of(type) << " " << name_of(dtype);
    }
}

TEST(Trainer, AllocatesNothingAfterItsFirstStep) {
  LocalRun run(train_options({}));
  run.trainer.step();
  const int64_t before = allocation_count();
  for (int i = 0; i < 5; ++i) run.trainer.step();
  EXPECT_EQ(allocation_count(), before);
}

// Start weights are made where they stay: no other memory of their size is touched, whose first use is what a start waits for.
TEST(Trainer, InitializingTouchesTheWeightsMemoryAlone) {
  TrainerOptions options = train_options({.dtype = DType::bf16});
  options.model.vocab_size = 1 << 18;
  ThreadTeam team(2);
  const auto comm = make_self_communicator();
  Trainer trainer(options, made_up_batches(), *comm, Stream(team));
  const int64_t before = resident_bytes(), parameters = trainer.table().flat_count();
  trainer.initialize(1);
  const int64_t weights_and_masters = parameters * int64_t(sizeof(bf16) + sizeof(float)), gradients = parameters * int64_t(sizeof(float));
  ASSERT_GE(gradients, int64_t(16) << 20);
  EXPECT_LT(resident_bytes() - before, weights_and_masters + gradients / 2);
}

TEST(Trainer, AccumulationIsTheLargeBatch) {
  TrainerOptions many = train_options({.virtual_ranks = 1}), one = many;
  many.micro_batch_size = 2;
  one.micro_batch_size = 16;
  LocalRun a(many), b(one);
  for (int i = 0; i < 10; ++i) {
    const StepResult x = a.trainer.step(), y = b.trainer.step();
    EXPECT_NEAR(x.loss, y.loss, 2e-5);
    EXPECT_NEAR(x.grad_norm, y.grad_norm, 1e-4 * y.grad_norm);
  }
}

TEST(Trainer, ANotFiniteStepChangesNoWeight) {
  TrainerOptions options = train_options({});
  options.integrity.enabled = false;  // which would see the damage itself
  LocalRun run(options);
  run.trainer.step();
  const View weights = run.trainer.weights();
  const int64_t poisoned = run.trainer.table()["final_norm.weight"].offset;
  const float old = weights.as<float>()[poisoned];
  weights.as<float>()[poisoned] = std::numeric_limits<float>::quiet_NaN();
  const std::string before = weights_hash(run.trainer);
  const StepResult r = run.trainer.step();
  EXPECT_EQ(r.verdict, StepVerdict::not_finite);
  EXPECT_EQ(weights_hash(run.trainer), before);
  EXPECT_EQ(run.trainer.steps_skipped(), 1);
  weights.as<float>()[poisoned] = old;
  EXPECT_EQ(run.trainer.step().verdict, StepVerdict::take);
}

TEST(Trainer, ADamagedReplicaIsNamedAndMended) {
  run_ranks(4, [&](Communicator& comm) {
    ThreadTeam team(1);
    Trainer trainer(train_options({.dtype = DType::bf16}), made_up_batches(), comm, Stream(team));
    trainer.initialize(1);
    trainer.step();
    trainer.check_replicas();
    EXPECT_TRUE(trainer.integrity().alarms().empty());
    const std::string before = weights_hash(trainer);
    if (comm.rank() == 2) trainer.weights().as<bf16>()[777].bits ^= 1;
    trainer.check_replicas();
    ASSERT_EQ(trainer.integrity().alarms().size(), 1u);
    EXPECT_EQ(trainer.integrity().alarms()[0].rank, 2);
    EXPECT_EQ(weights_hash(trainer), before);
    // A rank that errs again is not gone on with.
    if (comm.rank() == 2) trainer.weights().as<bf16>()[778].bits ^= 1;
    try {
      trainer.check_replicas();
      ADD_FAILURE() << "not seen";
    } catch (const Corruption& e) {
      EXPECT_EQ(e.code(), ExitCode::corruption);
      EXPECT_TRUE(e.lasting);
      EXPECT_NE(std::string(e.what()).find("rank 2 erred before"), std::string::npos) << e.what();
    }
  });
}

TEST(Trainer, DamagedMastersAreNamed) {
  run_ranks(2, [&](Communicator& comm) {
    ThreadTeam team(1);
    Trainer trainer(train_options({.dtype = DType::fp32}), made_up_batches(), comm, Stream(team));
    trainer.initialize(1);
    trainer.step();
    // In fp32 the weights a rank owns are the masters; the last ones are rank 1's.
    if (comm.rank() == 1) trainer.weights().as<float>()[trainer.table().flat_count() - 1] += 1e-3f;
    try {
      trainer.check_replicas();
      ADD_FAILURE() << "not seen";
    } catch (const Corruption& e) {
      EXPECT_EQ(e.alarm.kind, AlarmKind::state);
      EXPECT_EQ(e.alarm.rank, 1);
      EXPECT_FALSE(e.lasting);
    }
  });
}

// The same weights on any ranks, and other ones than by rounding to the nearest.
TEST(Trainer, StochasticRoundingDoesNotDependOnRanks) {
  std::string want, nearest;
  for (const bool stochastic : {true, false})
    for (const int ranks : {1, 2, 4})
      run_ranks(ranks, [&](Communicator& comm) {
        ThreadTeam team(1);
        TrainerOptions options = train_options({.dtype = DType::bf16});
        options.optimizer.stochastic_rounding = stochastic, options.optimizer.seed = 9;
        Trainer trainer(options, made_up_batches(), comm, Stream(team));
        trainer.initialize(1);
        for (int s = 0; s < 5; ++s) trainer.step();
        const std::string hash = weights_hash(trainer);
        if (comm.rank() != 0) return;
        std::string& first = stochastic ? want : nearest;
        if (first.empty()) first = hash;
        EXPECT_EQ(hash, first) << ranks << " ranks";
      });
  EXPECT_NE(want, nearest);
}

TEST(Trainer, TooManySkippedStepsEndTheRun) {
  TrainerOptions o = train_options({});
  o.max_skipped = 3;
  LocalRun run(o);
  run.trainer.weights().as<float>()[run.trainer.table()["final_norm.weight"].offset] = std::numeric_limits<float>::infinity();
  run.trainer.step();
  run.trainer.step();
  try {
    run.trainer.step();
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::numerics);
  }
}

TEST(Trainer, SettingsThatDoNotFitAreNamed) {
  TrainerOptions o = train_options({});
  o.global_batch_size = 12;  // not a multiple of 8 virtual ranks
  EXPECT_THROW(LocalRun run(o), Error);
  o = train_options({.virtual_ranks = 6});
  EXPECT_THROW(LocalRun run(o), Error);
  o = train_options({});
  o.seq_len = 17;  // beyond the model's positions
  EXPECT_THROW(LocalRun run(o), Error);
}

}  // namespace
}  // namespace tw
