// How a job of several ranks ends: the code mpirun returns, and soon.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>

#include "comm/mpi.h"

namespace tw {
namespace {

struct Ending {
  int code = -1;
  double seconds = 0;
  std::string output;
};

// mpirun -np ranks command, with its files in a folder of its own: ended ranks leave them behind.
Ending mpirun(int ranks, const std::string& command,
              const std::function<void(const std::string& output)>& on_output = {}) {
  std::string folder = (std::filesystem::temp_directory_path() / "tw_endings_XXXXXX").string();
  EXPECT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string line =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1"
      " OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1 " TW_MPIRUN " --timeout 20"
      " --mca orte_tmpdir_base " + folder + " --mca btl_vader_backing_directory " + folder + " -np " +
      std::to_string(ranks) + " " + command + " 2>&1";
  Ending ending;
  const auto begin = std::chrono::steady_clock::now();
  FILE* pipe = ::popen(line.c_str(), "r");
  if (pipe == nullptr) return ending;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(::fileno(pipe), buffer, sizeof buffer)) > 0;) {
    ending.output.append(buffer, size_t(n));
    if (on_output) on_output(ending.output);
  }
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
Ending contract(int ranks, const std::string& filter) {
  return mpirun(ranks, TW_COMM_MPI_TEST " --gtest_also_run_disabled_tests --gtest_filter=" + filter);
}

void expect_ending(const Ending& ending, int code, const char* words) {
  EXPECT_EQ(ending.code, code) << ending.output;
  EXPECT_LT(ending.seconds, 30) << ending.output;
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
  int killed = 0;
  const Ending ending =
      mpirun(2, TW_COMM_MPI_TEST " --hang-rank 1 --gtest_filter=MpiSession.*", [&](const std::string& output) {
        const size_t line = output.find("rank 1 waits: gdb -p ");
        int pid = 0;
        if (killed || line == std::string::npos || output.find(", then", line) == std::string::npos) return;
        if (std::sscanf(output.c_str() + line, "rank 1 waits: gdb -p %d", &pid) != 1 || pid < 2) return;
        ::kill(pid, SIGKILL);  // no debugger comes
        killed = pid;
      });
  EXPECT_NE(killed, 0) << ending.output;
  EXPECT_EQ(ending.code, 137) << ending.output;
}

TEST(MpiTestMain, AStartWithoutMpirunIsASkipOrAFailure) {
  const std::string plain = "env -u OMPI_COMM_WORLD_SIZE -u PMIX_RANK TW_REQUIRE_MPI=";
  EXPECT_EQ(std::system((plain + "0 " TW_COMM_MPI_TEST " 2> /dev/null").c_str()), 0);
  EXPECT_NE(std::system((plain + "1 " TW_COMM_MPI_TEST " 2> /dev/null").c_str()), 0);
}

// The variables are those seen under Slurm 22.05 with Open MPI 4.1.
TEST(MpiSession, ReadsTheLauncherFromTheEnvironment) {
  const auto start = [](std::initializer_list<std::pair<const char*, const char*>> variables) {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS"})
      ::unsetenv(name);
    for (const auto& [name, value] : variables) ::setenv(name, value, 1);
    return MpiSession::launched_by_mpi();
  };
  EXPECT_FALSE(start({}));
  EXPECT_NO_THROW(MpiSession::refuse_unconnected_tasks());
  EXPECT_FALSE(start({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "2"}})) << "a batch shell";
  EXPECT_NO_THROW(MpiSession::refuse_unconnected_tasks());
  EXPECT_FALSE(start({{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}})) << "an interactive shell of srun";
  EXPECT_NO_THROW(MpiSession::refuse_unconnected_tasks());
  EXPECT_TRUE(start({{"PMIX_RANK", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}})) << "srun --mpi=pmix";
  EXPECT_NO_THROW(MpiSession::refuse_unconnected_tasks());
  EXPECT_TRUE(start({{"OMPI_COMM_WORLD_SIZE", "2"}, {"SLURM_NTASKS", "2"}})) << "mpirun in a job";
  EXPECT_NO_THROW(MpiSession::refuse_unconnected_tasks());
  EXPECT_FALSE(start({{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}})) << "srun without PMIx";
  try {
    MpiSession::refuse_unconnected_tasks();
    ADD_FAILURE() << "two tasks without MPI were taken for a run";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
    EXPECT_NE(std::string(e.what()).find("--mpi=pmix"), std::string::npos) << e.what();
  }
  start({});
}

}  // namespace
}  // namespace tw
