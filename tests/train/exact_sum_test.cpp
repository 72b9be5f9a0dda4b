// The promise of docs/architecture.md, "The exact sum": equal bits on any number of ranks and threads.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "kernels/optimizer.h"
#include "src/checkpoint/checkpoint.h"
#include "src/core/rng.h"
#include "src/core/thread_team.h"
#include "src/train/grad_sync.h"
#include "tests/support/thread_comm.h"
#include "tests/train/train_fixture.h"

namespace tw {
namespace {

// Each virtual rank's gradient is made up; the sum must be the binary tree's, computed here by its definition.
float tree(const std::vector<std::vector<float>>& leaves, size_t lo, size_t hi, size_t i) {
  if (hi - lo == 1) return leaves[lo][i];
  const size_t mid = (lo + hi) / 2;
  return tree(leaves, lo, mid, i) + tree(leaves, mid, hi, i);
}

TEST(GradSync, SumsInOneFixedTree) {
  constexpr int V = 8;
  constexpr int64_t kFlat = 9000;
  std::vector<std::vector<float>> leaves;
  for (int v = 0; v < V; ++v) {
    const Rng rng{1, RngStream::test, uint32_t(v), 0};
    auto& leaf = leaves.emplace_back(size_t(kFlat));
    for (size_t i = 0; i < leaf.size(); ++i) leaf[i] = rng.normal(i) * std::pow(10.0f, float(rng.bits(i) % 6));
  }
  for (int size : {1, 2, 4, 8}) {
    run_ranks(size, [&](Communicator& comm) {
      ThreadTeam team(1);
      const Stream stream(team);
      const ShardLayout layout(kFlat, 2048, V, comm.rank(), size);
      GradSync sync(comm, layout, Determinism::elastic);
      ArenaPlan plan;
      sync.plan(plan);
      const Arena arena(plan, Device{});
      sync.bind(arena);
      for (int round = 0; round < 2; ++round) {  // buffers are used again
        for (int leaf = 0; leaf < sync.leaves(); ++leaf) {
          const View buffer = sync.begin_leaf(leaf, stream);
          const auto& from = leaves[size_t(comm.rank() * sync.leaves() + leaf)];
          std::copy(from.begin(), from.end(), buffer.as<float>());
          if (leaf + 1 < sync.leaves()) sync.end_leaf(leaf, stream);
        }
        for (int64_t offset : {7000, 4100, 4096, 10}) sync.ready(offset, stream);
        sync.finish(stream);
        const float* sums = sync.sums().as<float>();
        for (int b = 0; b < layout.buckets(); ++b)
          for (int64_t i = layout.owned(b).begin; i < std::min(kFlat, layout.owned(b).end); ++i)
            ASSERT_EQ(sums[i], tree(leaves, 0, V, size_t(i))) << "element " << i << " on " << size << " ranks";
      }
    });
  }
}

std::string hash_after(const TrainCase& c, int ranks, int threads, int steps) {
  std::string hash;
  const auto batches = c.batches ? c.batches : made_up_batches();
  run_ranks(ranks, [&](Communicator& comm) {
    ThreadTeam team(threads);
    Trainer trainer(train_options(c), batches, comm, Stream(team));
    trainer.initialize(1);
    for (int s = 0; s < steps; ++s) trainer.step();
    const std::string mine = weights_hash(trainer);
    for (const std::string& other : all_gather_text(comm, mine)) EXPECT_EQ(other, mine);
    if (comm.rank() == 0) hash = mine;
  });
  return hash;
}

TEST(ExactSum, WeightsAreTheSameBitsOnAnyRanksAndThreads) {
  for (DType dtype : {DType::fp32, DType::bf16}) {
    const TrainCase c{.dtype = dtype};
    const std::string want = hash_after(c, 1, 1, 25);
    for (int ranks : {1, 2, 4, 8})
      for (int threads : {1, 2})
        EXPECT_EQ(hash_after(c, ranks, threads, 25), want) << ranks << " ranks, " << threads << " threads";
  }
}

TEST(ExactSum, BucketsChangeNothing) {
  TrainCase small{}, large{};
  large.bucket_bytes = 4 << 20;
  EXPECT_EQ(hash_after(small, 2, 1, 10), hash_after(large, 2, 1, 10));
}

// The weights of a run that stops on some ranks and goes on with others, a second time with others still.
void expect_elastic(const TrainCase& c, const std::vector<int>& ranks) {
  constexpr int kSteps = 30;
  const auto batches = c.batches ? c.batches : made_up_batches();
  const std::string want = hash_after(c, 1, 1, kSteps);
  const auto folder = std::filesystem::temp_directory_path() / ("tw-elastic-" + std::to_string(getpid()));
  std::filesystem::remove_all(folder);
  for (size_t part = 0; part < ranks.size(); ++part) {
    const int64_t parts = int64_t(ranks.size()), begin = int64_t(part) * kSteps / parts, end = int64_t(part + 1) * kSteps / parts;
    run_ranks(ranks[part], [&](Communicator& comm) {
      ThreadTeam team(1);
      Trainer trainer(train_options(c), batches, comm, Stream(team));
      if (part == 0) trainer.initialize(1);
      else trainer.load(Checkpoint::open(folder), true);
      EXPECT_EQ(trainer.steps_done(), begin);
      if (!c.packing.eod_mask_loss) { EXPECT_EQ(trainer.tokens_done(), begin * c.global_batch_size * 12); }
      while (trainer.steps_done() < end) trainer.step();
      if (end == kSteps) {
        EXPECT_EQ(weights_hash(trainer), want) << "rank " << comm.rank();
      }
      CheckpointInfo info;
      trainer.describe(info);
      save_checkpoint({.folder = folder}, info, trainer.slices(), comm);
    });
  }
  std::filesystem::remove_all(folder);
}

TEST(ExactSum, StopOnFourGoOnWithTwo) { expect_elastic({.type = Architecture::gpt2}, {4, 2}); }
TEST(ExactSum, ShrinkAndGrow) { expect_elastic({.dtype = DType::bf16}, {2, 1, 8}); }

// Blends, stages and packed documents: equal bits on 1, 2 and 4 ranks, and where a run goes on within a stage (its
// stops lie behind steps 10 and 20).
TEST(ExactSum, BlendsAndPackedDocuments) {
  for (Architecture type : {Architecture::gpt2, Architecture::llama}) {
    const TrainCase c{.type = type, .packing = {.reset_attention_mask = true, .reset_position_ids = true, .eod_mask_loss = true, .eod = 36},
                      .batches = blended_batches()};
    const std::string want = hash_after(c, 1, 1, 20);
    for (int ranks : {2, 4}) EXPECT_EQ(hash_after(c, ranks, 2, 20), want) << ranks << " ranks";
    for (bool Packing::*option : {&Packing::reset_attention_mask, &Packing::reset_position_ids, &Packing::eod_mask_loss}) {
      TrainCase without = c;
      without.packing.*option = false;
      const bool learned = type == Architecture::gpt2 || option != &Packing::reset_position_ids;
      EXPECT_EQ(hash_after(without, 1, 1, 20) != want, learned) << "each option changes what is learned, but for rotary positions";
    }
    TrainCase other = c;
    other.batches = nullptr;
    EXPECT_NE(hash_after(other, 1, 1, 20), want);
  }
  expect_elastic({.type = Architecture::gpt2, .packing = {.reset_attention_mask = true, .eod_mask_loss = true, .eod = 36},
                  .batches = blended_batches()},
                 {4, 1, 2});
}

// The mean is over the scored tokens of all ranks, however they are spread.
TEST(ExactSum, MaskedTargetsCountNeitherInLossNorInItsDivisor) {
  const auto batches = blended_batches();
  for (int ranks : {1, 4})
    run_ranks(ranks, [&](Communicator& comm) {
      ThreadTeam team(1);
      const TrainCase c{.packing = {.eod_mask_loss = true, .eod = 36}};
      Trainer trainer(train_options(c), batches, comm, Stream(team));
      trainer.initialize(1);
      int64_t scored = 0;
      for (int64_t i = 0; i < 16; ++i) {
        int32_t x[12], y[12];
        batches->sample(i, x, y);
        for (const int32_t id : x) scored += id != 36;
      }
      const StepResult r = trainer.step();
      EXPECT_EQ(r.tokens, scored);
      EXPECT_LT(scored, 16 * 12);
      EXPECT_NEAR(r.loss, std::log(37.0), 0.1) << "the loss of a model that knows nothing";
    });
}

// One rank's gradient is no number: all ranks leave the step out, and go on as one.
TEST(ExactSum, ANaNOnOneRankSkipsTheStepOnAll) {
  const auto batches = made_up_batches();
  std::string alone;
  for (int ranks : {1, 4})
    run_ranks(ranks, [&](Communicator& comm) {
      ThreadTeam team(1);
      TrainerOptions options = train_options({});
      options.integrity.enabled = false;  // which would see the damage itself
      Trainer trainer(options, batches, comm, Stream(team));
      trainer.initialize(1);
      for (int s = 0; s < 5; ++s) trainer.step();
      const std::string before = weights_hash(trainer);
      float& weight = trainer.weights().as<float>()[trainer.table()["final_norm.weight"].offset];
      const float old = weight;
      if (comm.rank() == ranks / 2) weight = std::nanf("");
      const StepResult r = trainer.step();
      weight = old;
      EXPECT_EQ(r.verdict, StepVerdict::not_finite) << "rank " << comm.rank();
      EXPECT_EQ(r.step, 6);
      EXPECT_EQ(weights_hash(trainer), before);
      for (int s = 0; s < 5; ++s) EXPECT_EQ(trainer.step().verdict, StepVerdict::take);
      EXPECT_EQ(trainer.steps_skipped(), 1);
      if (ranks == 1) alone = weights_hash(trainer);
      else EXPECT_EQ(weights_hash(trainer), alone) << "rank " << comm.rank();
    });
}

TEST(ExactSum, RunAndOffTrainTheSameModelWithinRounding) {
  const auto batches = made_up_batches();
  for (Determinism mode : {Determinism::run, Determinism::off}) {
    TrainCase c{.virtual_ranks = 4, .determinism = mode};
    std::vector<float> losses;
    for (int repeat = 0; repeat < 2; ++repeat)
      run_ranks(4, [&](Communicator& comm) {
        ThreadTeam team(1);
        Trainer trainer(train_options(c), batches, comm, Stream(team));
        trainer.initialize(1);
        float loss = 0;
        for (int s = 0; s < 30; ++s) loss = trainer.step().loss;
        if (comm.rank() == 0) losses.push_back(loss);
      });
    EXPECT_NEAR(losses[0], losses[1], 1e-4);
  }
}

TEST(ExactSum, RanksThatDoNotDivideAreRefused) {
  const auto batches = made_up_batches();
  EXPECT_THROW(run_ranks(3, [&](Communicator& comm) {
    ThreadTeam team(1);
    Trainer trainer(train_options({}), batches, comm, Stream(team));
  }), Error);
}

}  // namespace
}  // namespace tw
