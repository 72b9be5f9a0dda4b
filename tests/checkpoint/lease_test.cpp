#include "src/checkpoint/lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <vector>

#include "src/core/error.h"
#include "src/core/file.h"
#include "tests/checkpoint/fixture.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string fenced(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(int(e.code()), int(ExitCode::fenced)) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

void replace(const fs::path& path, const std::string& from, const std::string& to) {
  std::string text = read_file(path);
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << text;
  text.replace(at, from.size(), to);
  std::ofstream(path) << text;
}

// A lease whose process was killed; its number, where nobody collected it.
pid_t leave_dead_lease(const fs::path& folder, bool collected = true) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      RunLease lease = RunLease::acquire(folder);
      ::kill(::getpid(), SIGKILL);
    } catch (...) {
    }
    ::_exit(1);
  }
  siginfo_t ended{};
  EXPECT_EQ(::waitid(P_PID, id_t(child), &ended, WEXITED | (collected ? 0 : WNOWAIT)), 0);
  EXPECT_EQ(ended.si_code, CLD_KILLED);
  return child;
}

TEST(Lease, ASecondRunIsRefusedByName) {
  TemporaryFolder folder;
  RunLease lease = RunLease::acquire(folder.path());
  char host[256] = {};
  ::gethostname(host, 255);
  EXPECT_THAT(fenced([&] { RunLease::acquire(folder.path()); }),
              AllOf(HasSubstr(host), HasSubstr(fmt::format("process {}", ::getpid())), HasSubstr("started 20")));
  // A save without the lease is a second run too.
  EXPECT_THAT(fenced([&] { save_toy(folder.path(), 1, 2); }), HasSubstr("in use by another run"));
  lease.release();
  EXPECT_EQ(RunLease::acquire(folder.path()).token(), 2);
}

TEST(Lease, TokensGrowEvenWhenTheFileIsDeleted) {
  TemporaryFolder folder;
  EXPECT_EQ(RunLease::acquire(folder.path()).token(), 1);
  EXPECT_EQ(RunLease::acquire(folder.path()).token(), 2);
  EXPECT_THAT(names_in(folder.path()), ElementsAre("lease.a2"));
  fs::create_directories(folder.path() / "checkpoints" / "step-00000100.a41");
  EXPECT_EQ(RunLease::acquire(folder.path()).token(), 42);
}

TEST(Lease, ADeadProcessIsTakenOver) {
  TemporaryFolder folder;
  leave_dead_lease(folder.path());
  const RunLease lease = RunLease::acquire(folder.path());
  EXPECT_EQ(lease.token(), 2);
  EXPECT_THAT(names_in(folder.path()), ElementsAre("lease.a2"));
}

TEST(Lease, AKilledProcessHoldsNothingThoughNobodyCollectedIt) {
  TemporaryFolder folder;
  const pid_t child = leave_dead_lease(folder.path(), false);
  EXPECT_NO_THROW(RunLease::acquire(folder.path()));
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST(Lease, WhatCannotBeKnownCountsAsAlive) {
  TemporaryFolder folder;
  leave_dead_lease(folder.path());
  const fs::path file = folder.path() / "lease.a1";
  const std::string good = read_file(file);
  const auto refused = [&](const std::string& from, const std::string& to) {
    std::ofstream(file) << good;
    replace(file, from, to);
    return fenced([&] { RunLease::acquire(folder.path()); });
  };
  EXPECT_THAT(refused("\"host\": \"", "\"host\": \"other-"), HasSubstr("host other-"));
  EXPECT_THAT(refused("\"pid_space\": \"", "\"pid_space\": \"x"), HasSubstr("in use"));
  EXPECT_THAT(refused("{", ""), HasSubstr("cannot be understood"));
  EXPECT_THAT(refused("\"pid\": ", "\"pid\": \"x\", \"y\": "), HasSubstr("cannot be understood"));
  std::ofstream(file) << "";
  EXPECT_THAT(fenced([&] { RunLease::acquire(folder.path()); }), HasSubstr("delete"));
}

TEST(Lease, AProcessNumberThatWasGivenAwayAgainIsDead) {
  TemporaryFolder folder;
  leave_dead_lease(folder.path());
  const fs::path file = folder.path() / "lease.a1";
  const std::string text = read_file(file);
  const size_t at = text.find("\"pid\": ") + 7;
  // This process lives, but was started at another time.
  std::ofstream(file) << text.substr(0, at) << ::getpid() << text.substr(text.find(',', at));
  EXPECT_EQ(RunLease::acquire(folder.path()).token(), 2);
}

TEST(Lease, ARequeuedJobTakesOverFromItselfOnAnotherHost) {
  TemporaryFolder folder;
  ::setenv("SLURM_JOB_ID", "77", 1);
  ::unsetenv("SLURM_RESTART_COUNT");
  leave_dead_lease(folder.path());
  replace(folder.path() / "lease.a1", "\"host\": \"", "\"host\": \"lost-node-");
  fenced([&] { RunLease::acquire(folder.path()); });
  ::setenv("SLURM_RESTART_COUNT", "1", 1);
  EXPECT_EQ(RunLease::acquire(folder.path()).token(), 2);
  ::unsetenv("SLURM_JOB_ID");
  ::unsetenv("SLURM_RESTART_COUNT");
}

TEST(Lease, WhoLostItIsToldBeforeTheCommit) {
  TemporaryFolder folder;
  RunLease lease = RunLease::acquire(folder.path());
  lease.check();
  std::ofstream(folder.path() / "lease.a2") << "{}";
  EXPECT_THAT(fenced([&] { lease.check(); }), HasSubstr("taken over"));
  EXPECT_THAT(fenced([&] {
                run_ranks(2, [&](Communicator& comm) {
                  CheckpointOptions options;
                  options.folder = folder.path();
                  options.lease = &lease;
                  const ToySlices mine = toy_slices(Layout::even, 1, comm.rank(), 2);
                  save_checkpoint(options, toy_info(1), mine.slices, comm);
                });
              }),
              HasSubstr("taken over"));
  EXPECT_FALSE(Checkpoint::open_newest(folder.path()));
}

TEST(Lease, OneOfManyWins) {
  for (int round = 0; round < 25; ++round) {
    TemporaryFolder folder;
    if (round % 2) leave_dead_lease(folder.path());
    std::atomic<int> won{0}, refused{0}, other{0}, done{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        try {
          const RunLease lease = RunLease::acquire(folder.path());
          ++won;
          for (++done; done < 4;) std::this_thread::yield();  // held until all have tried
        } catch (const Error& e) {
          ++(e.code() == ExitCode::fenced ? refused : other);
          ++done;
        }
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(won, 1);
    EXPECT_EQ(refused, 3);
    EXPECT_EQ(other, 0);
  }
}

TEST(Lease, AllRanksAreRefusedAlike) {
  TemporaryFolder folder;
  run_ranks(3, [&](Communicator& comm) {
    const auto lease = acquire_lease(folder.path(), comm);
    EXPECT_EQ(lease.has_value(), comm.rank() == 0);
    EXPECT_THAT(fenced([&] { acquire_lease(folder.path(), comm); }), HasSubstr("in use"));
    comm.barrier();
  });
}

}  // namespace
}  // namespace tw
