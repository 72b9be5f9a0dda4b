// How a job of several ranks ends: the code mpirun returns, and soon.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "comm/mpi.h"

namespace tw {
namespace {

struct Ending {
  int code = -1;
  double seconds = 0;
  std::string output;
};

// mpirun -np ranks command, with its files in a folder of its own: ended ranks leave them behind.
Ending mpirun(int ranks, const std::string& command, int limit_seconds = 20) {
  std::string folder = (std::filesystem::temp_directory_path() / "tw_endings_XXXXXX").string();
  EXPECT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string line =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1"
      " OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 " TW_MPIRUN " --timeout " +
      std::to_string(limit_seconds) +
      " --mca orte_tmpdir_base " + folder + " --mca btl_vader_backing_directory " + folder + " -np " +
      std::to_string(ranks) + " " + command + " 2>&1";
  Ending ending;
  const auto begin = std::chrono::steady_clock::now();
  FILE* pipe = ::popen(line.c_str(), "r");
  if (pipe == nullptr) return ending;
  char buffer[4096];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) ending.output.append(buffer, n);
  const int status = ::pclose(pipe);
  ending.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (WIFEXITED(status)) ending.code = WEXITSTATUS(status);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return ending;
}

Ending product_main(int ranks, const char* ending) {
  return mpirun(ranks, std::string(TW_MPI_ENDINGS " ") + ending);
}
Ending contract(int ranks, const std::string& filter, const std::string& more = "", int limit_seconds = 20) {
  return mpirun(ranks, TW_COMM_MPI_TEST " --gtest_also_run_disabled_tests --gtest_filter=" + filter + " " + more,
                limit_seconds);
}

void expect_ending(const Ending& ending, int code, const char* words) {
  EXPECT_EQ(ending.code, code) << ending.output;
  EXPECT_LT(ending.seconds, 10) << ending.output;
  EXPECT_NE(ending.output.find(words), std::string::npos) << ending.output;
}

TEST(Endings, AllIsWell) { expect_ending(product_main(2, "well"), 0, ""); }

TEST(Endings, AnErrorOfOneRankEndsAllWithItsCode) {
  expect_ending(product_main(3, "throw"), 79, "[rank 1] warning: the loss is not finite");
}

TEST(Endings, AnOperationUnderWayDoesNotHoldTheErrorBack) {
  expect_ending(product_main(2, "under-way"), 81, "wrong checksum");
}

TEST(Endings, ASubCommunicatorDoesNotHoldTheErrorBack) {
  expect_ending(product_main(2, "split"), 76, "another run owns the folder");
}

TEST(Endings, TheSessionDoesNotFinaliseWhileAnErrorPasses) { expect_ending(product_main(2, "uncaught"), 75, ""); }

TEST(Endings, ACommunicatorMayOutliveTheSession) { expect_ending(product_main(2, "outlive"), 0, ""); }

TEST(MpiTestMain, AFailureOnOneRankFailsTheJob) {
  expect_ending(contract(2, "MpiTestMain.DISABLED_ExpectFailsOnRank1"), 1, "[rank 1]");
  expect_ending(contract(2, "MpiTestMain.DISABLED_AssertFailsOnRank1"), 1, "[rank 1]");
  expect_ending(contract(2, "MpiTestMain.DISABLED_ThrowsOnRank1"), 1, "thrown on purpose");
}

TEST(MpiTestMain, HoldsARankForADebugger) {
  // rc 110: mpirun's time limit; the rank waits for the debugger who never comes.
  const Ending ending = contract(2, "MpiSession.SeesItsLauncher", "--hang-rank 1", /*limit_seconds=*/3);
  EXPECT_NE(ending.code, 0) << ending.output;
  EXPECT_NE(ending.output.find("rank 1 waits: gdb -p"), std::string::npos) << ending.output;
}

TEST(MpiTestMain, AStartWithoutMpirunIsASkipOrAFailure) {
  const std::string plain = "env -u OMPI_COMM_WORLD_SIZE -u PMIX_RANK TW_REQUIRE_MPI=";
  EXPECT_EQ(std::system((plain + "0 " TW_COMM_MPI_TEST " 2> /dev/null").c_str()), 0);
  EXPECT_NE(std::system((plain + "1 " TW_COMM_MPI_TEST " 2> /dev/null").c_str()), 0);
}

TEST(MpiSession, ReadsTheLauncherFromTheEnvironment) {
  ::unsetenv("OMPI_COMM_WORLD_SIZE");
  ::unsetenv("PMIX_RANK");
  ::setenv("SLURM_PROCID", "0", 1);  // a batch shell
  EXPECT_FALSE(MpiSession::launched_by_mpi());
  ::setenv("PMIX_RANK", "0", 1);
  EXPECT_TRUE(MpiSession::launched_by_mpi());
  ::unsetenv("PMIX_RANK");
  ::setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
  EXPECT_TRUE(MpiSession::launched_by_mpi());
  ::unsetenv("OMPI_COMM_WORLD_SIZE");
  ::unsetenv("SLURM_PROCID");
}

}  // namespace
}  // namespace tw
