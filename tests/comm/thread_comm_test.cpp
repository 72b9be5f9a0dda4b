// The threads transport finds what MPI would answer with a hang or with wrong data.
#include "tests/support/thread_comm.h"

#include <gtest/gtest.h>

#include <atomic>

#include "src/core/log.h"

namespace tw {
namespace {

const Stream kHost(Device{}, nullptr);

View view(std::vector<float>& v) { return {v.data(), DType::fp32, {int64_t(v.size())}}; }

// Runs body on n ranks; returns the error run_ranks throws.
Error error_of(int n, const std::function<void(Communicator&)>& body,
               std::chrono::milliseconds limit = std::chrono::seconds(60)) {
  try {
    run_ranks(n, body, limit);
  } catch (const Error& e) {
    return e;
  }
  return Error(ExitCode::ok, "nothing was thrown");
}

void expect_error(const Error& e, ExitCode code, std::initializer_list<const char*> words) {
  EXPECT_EQ(e.code(), code) << e.what();
  for (const char* word : words) EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << e.what();
}

TEST(ThreadComm, SetsTheLogRankOfEachThread) {
  std::atomic<int> right{0};
  run_ranks(5, [&](Communicator& comm) { right += log_rank() == comm.rank(); });
  EXPECT_EQ(right, 5);
}

TEST(ThreadComm, ReportsOtherSizes) {
  const Error e = error_of(3, [](Communicator& comm) {
    std::vector<float> buffer(comm.rank() == 1 ? 4 : 5);
    comm.all_reduce(view(buffer), ReduceOp::sum, kHost);
  });
  expect_error(e, ExitCode::bug, {"all_reduce", "4 x fp32", "5 x fp32", "rank 1"});
}

TEST(ThreadComm, ReportsAnotherCollective) {
  const Error e = error_of(2, [](Communicator& comm) {
    std::vector<float> buffer(1);
    comm.barrier();
    if (comm.rank() == 0) comm.broadcast(view(buffer), 0, kHost);
    else comm.barrier();
  });
  expect_error(e, ExitCode::bug, {"number 1", "broadcast", "barrier"});
}

TEST(ThreadComm, ReportsAnotherRootAndOp) {
  expect_error(error_of(2, [](Communicator& comm) {
                 std::vector<float> buffer(1);
                 comm.broadcast(view(buffer), comm.rank(), kHost);
               }),
               ExitCode::bug, {"root 0", "root 1"});
  expect_error(error_of(2, [](Communicator& comm) {
                 std::vector<float> buffer(1);
                 comm.all_reduce(view(buffer), comm.rank() ? ReduceOp::max : ReduceOp::sum, kHost);
               }),
               ExitCode::bug, {"all_reduce"});
}

TEST(ThreadComm, ReportsAnotherMessageSize) {
  const Error e = error_of(2, [](Communicator& comm) {
    std::vector<float> buffer(comm.rank() ? 3 : 2);
    if (comm.rank() == 0) comm.send(view(buffer), 1, 9, kHost);
    else comm.recv(view(buffer), 0, 9, kHost);
  });
  expect_error(e, ExitCode::bug, {"tag 9", "(2)", "(3)"});
}

TEST(ThreadComm, EveryRankHearsOfAMismatch) {
  std::atomic<int> heard{0};
  run_ranks(4, [&](Communicator& comm) {
    std::vector<float> buffer(comm.rank() == 2 ? 1 : 2);
    try {
      comm.all_reduce(view(buffer), ReduceOp::sum, kHost);
    } catch (const Error& e) {
      heard += e.code() == ExitCode::bug;
    }
  });
  EXPECT_EQ(heard, 4);
}

TEST(ThreadComm, WakesTheOthersWhenARankThrows) {
  std::atomic<int> lost{0};
  const Error e = error_of(4, [&](Communicator& comm) {
    const auto part = comm.split(comm.rank() % 2, 0);
    if (comm.rank() == 1) TW_FAIL(numerics, "loss is NaN");
    try {
      // Rank 3 waits in a part of the world, the others in the world or for a message.
      std::vector<float> buffer(1);
      if (comm.rank() == 3) part->barrier();
      else if (comm.rank() == 2) comm.recv(view(buffer), 1, 0, kHost);
      else comm.barrier();
    } catch (const Error& error) {
      lost += error.code() == ExitCode::peer_lost;
      throw;
    }
  });
  expect_error(e, ExitCode::numerics, {"loss is NaN"});  // the cause, not a consequence
  EXPECT_EQ(lost, 3);
}

TEST(ThreadComm, AnOperationUnderWayDoesNotHideTheError) {
  const Error e = error_of(2, [](Communicator& comm) {
    std::vector<float> buffer(8);
    if (comm.rank() == 1) {
      Pending pending = comm.start_all_reduce(view(buffer), ReduceOp::sum, kHost);
      TW_FAIL(io, "disk full");
    }
    comm.barrier();
  });
  // Rank 0 never starts the reduction: either order of events ends with an error, never a hang.
  EXPECT_TRUE(e.code() == ExitCode::io || e.code() == ExitCode::bug) << e.what();
}

TEST(ThreadComm, ARankThatReturnedIsMissed) {
  const Error e = error_of(3, [](Communicator& comm) {
    if (comm.rank() != 2) comm.barrier();
  });
  expect_error(e, ExitCode::peer_lost, {"rank 2", "returned"});
  expect_error(error_of(2, [](Communicator& comm) {
                 std::vector<float> buffer(1);
                 if (comm.rank() == 0) comm.send(view(buffer), 1, 0, kHost);
               }),
               ExitCode::peer_lost, {"send"});
}

TEST(ThreadComm, ADeadlockIsNamedAfterTheLimit) {
  const Error e = error_of(
      2,
      [](Communicator& comm) {
        std::vector<float> buffer(1);
        comm.recv(view(buffer), 1 - comm.rank(), 0, kHost);
      },
      std::chrono::milliseconds(100));
  expect_error(e, ExitCode::hang, {"recv", "for rank"});
}

TEST(ThreadComm, AbortThrowsItsCode) {
  const Error e = error_of(3, [](Communicator& comm) {
    if (comm.rank() == 2) comm.abort(int(ExitCode::fenced));
    comm.barrier();
  });
  expect_error(e, ExitCode::fenced, {"rank 2"});
}

}  // namespace
}  // namespace tw
