// Saves behind the back of ranks that work on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "src/checkpoint/checkpoint_writer.h"
#include "src/checkpoint/names.h"
#include "tests/checkpoint/fixture.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

SaveOutcome wait_for(CheckpointWriter& writer) {
  for (;;) {
    if (auto outcome = writer.take()) return *outcome;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST(Writer, SavesWhileTheRanksTalkOfOtherThings) {
  for (const int ranks : {1, 2, 4}) {
    const TemporaryFolder folder;
    run_ranks(ranks, [&](Communicator& comm) {
      CheckpointWriter writer(comm);
      EXPECT_FALSE(writer.take()) << "none was started";
      int64_t work = 0;
      for (int64_t step = 1; step <= 3; ++step) {
        const ToySlices mine = toy_slices(Layout::even, step, comm.rank(), ranks);
        writer.start({.folder = folder.path()}, toy_info(step), mine.slices, true);
        // Every rank goes on until all have seen the end.
        while (all_reduce_value(comm, int64_t(writer.busy()), ReduceOp::max)) ++work;
        const auto outcome = writer.take();
        ASSERT_TRUE(outcome && outcome->ok()) << outcome->error;
        EXPECT_EQ(outcome->step, step);
        EXPECT_EQ(Checkpoint::open(outcome->folder).info().step, step);
        EXPECT_FALSE(writer.take()) << "it is told once";
      }
      EXPECT_GT(work, 0);
    });
    EXPECT_EQ(wrong_elements(Checkpoint::open(folder.path()), 3), 0) << ranks << " ranks";
  }
}

TEST(Writer, AFailureIsTheSameOnAllRanksAndTheNextSaveSucceeds) {
  const TemporaryFolder folder;
  const fs::path where = folder.path() / "checkpoints";
  std::ofstream(where) << "in the way";
  run_ranks(3, [&](Communicator& comm) {
    CheckpointWriter writer(comm);
    const ToySlices mine = toy_slices(Layout::ragged, 5, comm.rank(), 3);
    writer.start({.folder = where}, toy_info(5), mine.slices, true);
    const SaveOutcome failed = wait_for(writer);
    EXPECT_EQ(int(failed.code), int(ExitCode::cannot_create));
    EXPECT_THAT(failed.error, HasSubstr("cannot create the folder"));
    EXPECT_TRUE(failed.folder.empty());
    comm.barrier();
    if (comm.rank() == 0) fs::remove(where);
    comm.barrier();
    writer.start({.folder = where}, toy_info(5), mine.slices, false);
    EXPECT_TRUE(writer.wait()->ok());
  });
  EXPECT_EQ(wrong_elements(Checkpoint::open(where), 5), 0);
}

TEST(Writer, AnotherRunsLeaseIsTold) {
  const TemporaryFolder folder;
  const RunLease other = RunLease::acquire(folder.path());
  run_ranks(2, [&](Communicator& comm) {
    CheckpointWriter writer(comm);
    const ToySlices mine = toy_slices(Layout::even, 1, comm.rank(), 2);
    writer.start({.folder = folder.path()}, toy_info(1), mine.slices, true);
    EXPECT_EQ(int(wait_for(writer).code), int(ExitCode::fenced));
  });
}

// A rank that leaves by an exception does not wait for peers that may never come.
TEST(Writer, ASaveThatPeersNeverJoinIsGivenUp) {
  const TemporaryFolder folder;
  run_ranks(2, [&](Communicator& comm) {
    CheckpointWriter writer(comm);
    const ToySlices mine = toy_slices(Layout::even, 1, comm.rank(), 2);
    if (comm.rank() == 0) writer.start({.folder = folder.path()}, toy_info(1), mine.slices, true);
  });
  EXPECT_FALSE(Checkpoint::open_newest(folder.path()));
  EXPECT_EQ(Checkpoint::open(save_toy(folder.path(), 2)).info().step, 2) << "what was begun is swept";
  int unfinished = 0;
  for (const CheckpointFolder& c : list_checkpoints(folder.path())) unfinished += !c.committed;
  EXPECT_EQ(unfinished, 0);
}

TEST(Best, IsFoundByNameAndOutlivesTheNewest) {
  const TemporaryFolder folder;
  const std::vector<double> losses = {4, 2, 3, 2.5, kUnknownLoss, 5};
  for (size_t i = 0; i < losses.size(); ++i)
    run_ranks(2, [&](Communicator& comm) {
      CheckpointInfo info = toy_info(int64_t(i) + 1);
      info.validation_loss = losses[i];
      const ToySlices mine = toy_slices(Layout::even, info.step, comm.rank(), 2);
      save_checkpoint({.folder = folder.path(), .keep_latest_k = 2, .keep_best = true}, info, mine.slices, comm);
    });
  std::vector<int64_t> steps;
  for (const CheckpointFolder& c : list_checkpoints(folder.path())) steps.push_back(c.name.step);
  EXPECT_THAT(steps, testing::ElementsAre(6, 5, 2));
  EXPECT_EQ(lowest_validation_loss(folder.path()), 2);
  const Checkpoint best = Checkpoint::open(folder.path() / "best");
  EXPECT_EQ(best.info().step, 2);
  EXPECT_EQ(best.info().validation_loss, 2);
  EXPECT_EQ(wrong_elements(best, 2), 0);
  // Nothing stands in for it.
  fs::resize_file(best.folder() / "shard-0000-of-0002.h5", 5000);
  EXPECT_THROW(Checkpoint::open(folder.path() / "best"), Error);
  const TemporaryFolder none;
  save_toy(none.path(), 1);
  EXPECT_THROW(Checkpoint::open(none.path() / "best"), Error);
}

// What was passed over at the start is no checkpoint to fall back to: it does not push a whole one out.
TEST(Retention, DamagedOnesDoNotCount) {
  const TemporaryFolder folder;
  for (int64_t step = 1; step <= 2; ++step) save_toy(folder.path(), step, 2, Layout::even, 2);
  std::fstream(folder.path() / "step-00000002.a2" / "shard-0000-of-0002.h5", std::ios::in | std::ios::out | std::ios::binary).seekp(90000) << "damage";
  std::vector<std::string> damaged;
  testing::internal::CaptureStderr();
  run_ranks(2, [&](Communicator& comm) {
    const auto opened = open_checkpoint(folder.path(), comm);
    EXPECT_EQ(opened->info().step, 1);
    if (comm.rank() == 0) damaged = opened->passed_over();
  });
  testing::internal::GetCapturedStderr();
  EXPECT_THAT(damaged, testing::ElementsAre("step-00000002.a2"));
  const auto save = [&](int64_t step) {
    run_ranks(2, [&](Communicator& comm) {
      const ToySlices mine = toy_slices(Layout::even, step, comm.rank(), 2);
      save_checkpoint({.folder = folder.path(), .keep_latest_k = 2, .damaged = damaged}, toy_info(step), mine.slices, comm);
    });
    std::vector<int64_t> steps;
    for (const CheckpointFolder& c : list_checkpoints(folder.path())) steps.push_back(c.name.step);
    return steps;
  };
  EXPECT_THAT(save(3), testing::ElementsAre(3, 2, 1)) << "3 and 1 are whole";
  EXPECT_THAT(save(4), testing::ElementsAre(4, 3));
}

}  // namespace
}  // namespace tw
