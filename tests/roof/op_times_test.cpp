// Times of ops added up: rows, floors, what lies between.
#include "src/roof/op_times.h"

#include <gtest/gtest.h>

#include <limits>

#include "src/core/error.h"
#include "src/core/thread_team.h"
#include "src/roof/watched_communicator.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {

// 1 GFLOP/s, and memory of 1 GB/s behind a cache of 1000 bytes that gives 10.
Roof simple_roof() {
  Roof roof;
  roof.matrix.push_back({.dtype = DType::fp32, .m = 1, .n = 1, .k = 500, .seconds = {.best = 1e-6, .median = 1e-6, .worst = 1e-6}});
  roof.memory.push_back({.level = "L2", .capacity = 1000, .read = 10e9});
  roof.memory.push_back({.level = "memory", .capacity = std::numeric_limits<double>::infinity(), .triad = 1e9});
  return roof;
}

TEST(RoofFloor, IsTheSlowerOfArithmeticAndBytes) {
  const Roof roof = simple_roof();
  EXPECT_DOUBLE_EQ(roof.flops_per_second(DType::fp32), 1e9);
  EXPECT_DOUBLE_EQ(roof.floor_seconds({.flops = 5e9, .bytes = 4}), 5);
  EXPECT_DOUBLE_EQ(roof.floor_seconds({.flops = 5, .bytes = 4e9}), 4);
  EXPECT_DOUBLE_EQ(roof.floor_seconds({.bytes = 1000}), 1000 / 10e9) << "what fits the cache may come from it";
  EXPECT_DOUBLE_EQ(roof.floor_seconds({.flops = 7e9, .dtype = DType::bf16}), 0) << "no rate of bf16 was measured";
  EXPECT_DOUBLE_EQ(Roof{}.floor_seconds({.flops = 5e9, .bytes = 4}), 0);
}

class Times : public testing::Test {
 protected:
  // A step in which `calls` are ended one after the other.
  void step(double seconds, const std::vector<std::pair<const char*, OpWork>>& calls) {
    times.begin_step();
    for (const auto& [op, work] : calls) times.begin(stream), times.end(op, work, stream);
    times.end_step(seconds);
  }
  ThreadTeam team{1};
  Stream stream{team};
  Roof roof = simple_roof();
  OpTimes times{&roof};
};

TEST_F(Times, RowsAreByNameShapeAndForm) {
  const OpWork small{.flops = 10, .bytes = 8, .shape = {1, 2, 3}, .form = "a b"}, other{.flops = 10, .bytes = 8, .shape = {1, 2, 3}, .form = "a b^T"};
  for (int i = 0; i < 3; ++i) step(1, {{"matmul", small}, {"matmul", small}, {"matmul", other}, {"add", {.bytes = 4}}});
  const StepTimes t = times.times();
  ASSERT_EQ(t.rows.size(), 3u);
  double calls = 0, ops = 0;
  for (const OpRow& r : t.rows) {
    calls += r.calls, ops += r.seconds;
    if (r.form == "a b") {
      EXPECT_EQ(r.calls, 2);
      EXPECT_EQ(r.flops, 20);
      EXPECT_EQ(r.bytes, 16);
      EXPECT_DOUBLE_EQ(r.floor, 2 * 1e-8);
    }
  }
  EXPECT_EQ(calls, 4);
  EXPECT_DOUBLE_EQ(t.ops, ops);
  EXPECT_NEAR(t.total(), 1, 0.1) << "ops and what lies between them are the step";
  EXPECT_LT(t.covered(), 0.1) << "the ops above did nothing";
  EXPECT_EQ(t.step.repeats, 3);
}

TEST_F(Times, WhatIsUsedOnceAStepComesFromMemoryUnlessAllOfItFits) {
  const OpWork part{.bytes = 600, .streamed = true};
  step(1, {{"adamw", part}, {"adamw", part}, {"norm", {.bytes = 600}}, {"norm", {.bytes = 600}}});
  for (const OpRow& r : times.times().rows) EXPECT_DOUBLE_EQ(r.floor, r.op == "adamw" ? 1200 / 1e9 : 1200 / 10e9);
  OpTimes fits(&roof);
  fits.begin_step(), fits.begin(stream), fits.end("adamw", part, stream), fits.end_step(1);
  EXPECT_DOUBLE_EQ(fits.times().rows.front().floor, 600 / 10e9);
}

TEST_F(Times, CallsOutsideOfStepsDoNotCountAndNoStepIsAnError) {
  times.begin(stream), times.end("zero", {.bytes = 4}, stream);
  times.add_exchange("all_reduce", 1, 8, 1);
  EXPECT_THROW(times.times(), Error);
  EXPECT_THROW(times.end_step(1), Error);
  step(1, {});
  EXPECT_TRUE(times.times().rows.empty());
  EXPECT_EQ(times.times().covered(), 0);
}

TEST_F(Times, AnOpOfSomeStepsAloneHasAMedianOfZero) {
  step(1, {}), step(1, {{"zero", {.bytes = 4}}}), step(1, {});
  ASSERT_EQ(times.times().rows.size(), 1u);
  EXPECT_EQ(times.times().rows[0].seconds, 0);
  EXPECT_NEAR(times.times().rows[0].calls, 1 / 3.0, 1e-12);
}

TEST_F(Times, ExchangesAreFlooredByTheWire) {
  roof.exchange_rate = 100;
  times.begin_step();
  times.add_exchange("all_to_all", 1, 50, 0.75);
  times.add_exchange("all_to_all", 0, 0, 0.25);
  times.add_copy("all_gather", 500, 0.5);
  times.end_step(2);
  const StepTimes t = times.times();
  ASSERT_EQ(t.rows.size(), 2u);
  EXPECT_EQ(t.rows[0].op, "all_to_all") << "it loses 0.5 s, the copy little less";
  EXPECT_TRUE(t.rows[0].over_the_wire);
  EXPECT_DOUBLE_EQ(t.rows[0].seconds, 1);
  EXPECT_DOUBLE_EQ(t.rows[0].floor, 0.5);
  EXPECT_EQ(t.rows[0].calls, 1);
  EXPECT_DOUBLE_EQ(t.rows[1].floor, 500 / 10e9);
  EXPECT_DOUBLE_EQ(t.between, 0.5);
}

TEST(WatchedCommunicator, GivesTheSameResultsAndNotesEachCall) {
  run_ranks(2, [](Communicator& comm) {
    ThreadTeam team(1);
    const Stream stream(team);
    OpTimes times(nullptr);
    WatchedCommunicator watched(comm, times);
    EXPECT_EQ(watched.rank(), comm.rank());
    EXPECT_EQ(watched.size(), 2);
    times.begin_step();
    Tensor x({4}, DType::fp32), y({4}, DType::fp32), all({8}, DType::fp32);
    for (int i = 0; i < 4; ++i) x.as<float>()[i] = float(comm.rank() * 4 + i);
    const Pending exchange = watched.start_all_to_all(x.view(), y.view(), stream);
    while (!exchange->test()) {
    }
    exchange->wait();
    for (int i = 0; i < 4; ++i) EXPECT_EQ(y.as<float>()[i], float(i / 2 * 4 + comm.rank() * 2 + i % 2));
    watched.all_gather(x.view(), all.view(), stream);
    for (int i = 0; i < 8; ++i) EXPECT_EQ(all.as<float>()[i], float(i));
    watched.all_reduce(x.view(), ReduceOp::sum, stream);
    EXPECT_EQ(x.as<float>()[1], 6.0f);
    times.end_step(10);
    double bytes = 0, calls = 0;
    const StepTimes t = times.times();
    for (const OpRow& r : t.rows) bytes += r.bytes, calls += r.calls;
    EXPECT_EQ(t.rows.size(), 3u);
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(bytes, 16 / 2 + 32 / 2 + 2 * 16 / 2) << "half of each buffer stays where it is";
  });
}

}  // namespace
}  // namespace tw
