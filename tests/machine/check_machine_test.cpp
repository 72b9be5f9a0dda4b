// CPU, memory, limits and programs of machines that are not this one.
#include "src/machine/checks.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/machine/fake_machine.h"

namespace tw {
namespace {
using testing::HasSubstr;
using testing::Not;

class CheckMachine : public FakeMachine {
 protected:
  CheckMachine() {
    std::string cores;
    for (int c = 0; c < 4; ++c)
      cores += "processor\t: " + std::to_string(c) + "\nmodel name\t: Test CPU\nphysical id\t: " + std::to_string(c / 2) + "\ncore id\t\t: " + std::to_string(c % 2) +
               "\nflags\t\t: fpu avx2 hypervisor\n\n";
    put("proc/cpuinfo", cores);
    put("proc/loadavg", "0.10 0.20 0.30 1/100 1234\n");
    put("sys/devices/system/cpu/online", "0-3\n");
    put("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nHugePages_Total: 0\nHugepagesize: 2048 kB\n");
    put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  }
  Findings cpu() const {
    Findings f;
    check_cpu(here, 4, f);
    return f;
  }
  Findings memory() const {
    Findings f;
    check_memory(here, f);
    return f;
  }
};

TEST_F(CheckMachine, APlainMachineHasNothingToSay) {
  EXPECT_EQ(cpu().count(Verdict::ok), int(cpu().all().size())) << format_findings(cpu(), {});
  EXPECT_EQ(named(cpu(), "model").text, "Test CPU, 2 sockets, 4 cores, 4 threads, virtual machine");
  EXPECT_EQ(memory().count(Verdict::ok), int(memory().all().size())) << format_findings(memory(), {});
  EXPECT_THAT(named(memory(), "memory").text, HasSubstr("16.0 GiB, 8.0 GiB free"));
}

TEST_F(CheckMachine, NothingThereIsSaidAndNothingThrown) {
  here.root = at("empty");
  EXPECT_THAT(named(cpu(), "model").text, HasSubstr("not told"));
  EXPECT_EQ(named(memory(), "memory").verdict, Verdict::note);
  EXPECT_EQ(named(memory(), "memory").remedy, "sudo mount -t proc proc /proc");
  Findings f;
  check_network(here, 2, f);
  check_slurm(here, f);
  check_tools(here, f);
  check_system(here, f);
  check_gpus(here, {.missing = "no library"}, f);
  EXPECT_EQ(f.count(Verdict::problem), 0) << format_findings(f, {});
}

TEST_F(CheckMachine, AQuotaBelowTheCoresNamesTheThreads) {
  put("proc/self/cgroup", "0::/box\n");
  put("sys/fs/cgroup/box/cpu.max", "250000 100000\n");
  const Finding quota = named(cpu(), "quota");
  EXPECT_EQ(quota.verdict, Verdict::note);
  EXPECT_THAT(quota.text, HasSubstr("2.50 cores"));
  EXPECT_EQ(quota.remedy, "tokenwerk train --training.threads 2 ...");
  put("sys/fs/cgroup/box/cpu.max", "20000 100000\n");
  EXPECT_EQ(named(cpu(), "quota").remedy, "tokenwerk train --training.threads 1 ...");
  put("sys/fs/cgroup/box/cpu.max", "400000 100000\n");
  EXPECT_EQ(named(cpu(), "quota").verdict, Verdict::ok);
}

TEST_F(CheckMachine, CoresThatAreMissingAreMendedWhereTheyWereTaken) {
  here.cpus = {0};
  EXPECT_EQ(named(cpu(), "cores").remedy, "taskset -c 0-3 tokenwerk ...");
  environment["OMPI_COMM_WORLD_SIZE"] = "2";
  EXPECT_EQ(named(cpu(), "cores").remedy, "export OMPI_MCA_hwloc_base_binding_policy=none");
  environment["SLURM_JOB_ID"] = "7";
  EXPECT_EQ(named(cpu(), "cores").remedy, "sbatch --cpus-per-task 4 ...");
  environment.clear();
  put("proc/self/cgroup", "0::/box\n");
  put("sys/fs/cgroup/box/cpuset.cpus.effective", "0\n");
  EXPECT_EQ(named(cpu(), "cores").verdict, Verdict::note);
  EXPECT_EQ(named(cpu(), "cores").remedy, "") << "taskset cannot leave a control group";
  put("sys/fs/cgroup/box/cpuset.cpus.effective", "0-1\n");
  EXPECT_EQ(named(cpu(), "cores").remedy, "taskset -c 0-1 tokenwerk ...");
}

TEST_F(CheckMachine, GovernorsThatHoldTheClockDownAreNamed) {
  for (int c = 0; c < 4; ++c) {
    const std::string folder = "sys/devices/system/cpu/cpu" + std::to_string(c) + "/cpufreq/";
    put(folder + "scaling_governor", c == 3 ? "performance\n" : "powersave\n");
    put(folder + "scaling_driver", "acpi-cpufreq\n");
  }
  const Finding governor = named(cpu(), "governor");
  EXPECT_EQ(governor.verdict, Verdict::note);
  EXPECT_THAT(governor.text, HasSubstr("performance on 1 core, powersave on 3 cores"));
  put("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", "intel_pstate\n");
  EXPECT_EQ(named(cpu(), "governor").verdict, Verdict::ok) << "there powersave goes by the load";
}

TEST_F(CheckMachine, OtherProgramsAtWorkAreNoticed) {
  put("proc/loadavg", "3.50 3.00 2.00 5/100 1234\n");
  EXPECT_EQ(named(cpu(), "load").verdict, Verdict::note);
}

TEST_F(CheckMachine, MemoryLimitsOfTheGroup) {
  put("proc/self/cgroup", "0::/box\n");
  put("sys/fs/cgroup/box/memory.max", "8589934592\n");
  put("sys/fs/cgroup/box/memory.current", "1073741824\n");
  EXPECT_EQ(named(memory(), "limit").verdict, Verdict::ok);
  EXPECT_THAT(named(memory(), "limit").text, HasSubstr("allows 8.0 GiB, 7.0 GiB are left"));
  put("sys/fs/cgroup/box/memory.current", "8489934592\n");
  EXPECT_EQ(named(memory(), "limit").verdict, Verdict::note);
}

TEST_F(CheckMachine, LittleMemoryAndUsedSwap) {
  put("proc/meminfo", "MemTotal: 1048576 kB\nMemAvailable: 524288 kB\nSwapTotal: 1048576 kB\nSwapFree: 524288 kB\n");
  EXPECT_EQ(named(memory(), "memory").verdict, Verdict::note);
  EXPECT_EQ(named(memory(), "swap").verdict, Verdict::note);
}

TEST_F(CheckMachine, HugePages) {
  put("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  EXPECT_EQ(named(memory(), "huge pages").verdict, Verdict::note);
  EXPECT_EQ(named(memory(), "huge pages").remedy, "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
  put("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
  put("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\nHugePages_Total: 512\nHugePages_Free: 512\nHugepagesize: 2048 kB\n");
  EXPECT_THAT(named(memory(), "huge pages").text, HasSubstr("512 of 2.0 MiB set aside"));
}

TEST_F(CheckMachine, NumaNodesWantARankEach) {
  for (const char* node : {"0", "1"}) {
    const std::string folder = std::string("sys/devices/system/node/node") + node + "/";
    put(folder + "cpulist", node == std::string("0") ? "0-1\n" : "2-3\n");
    put(folder + "meminfo", std::string("Node ") + node + " MemTotal:       8388608 kB\n");
  }
  put("sys/devices/system/node/node_of_none", "");
  const Finding numa = named(memory(), "NUMA");
  EXPECT_EQ(numa.verdict, Verdict::note);
  EXPECT_THAT(numa.text, HasSubstr("2 nodes: 0 (cores 0-1, 8.0 GiB) 1 (cores 2-3, 8.0 GiB)"));
  EXPECT_THAT(numa.remedy, HasSubstr("mpirun -np 2 --map-by ppr:1:numa"));
  environment["OMPI_COMM_WORLD_SIZE"] = "2";
  EXPECT_EQ(named(memory(), "NUMA").verdict, Verdict::ok);
}

TEST_F(CheckMachine, StrictOvercommit) {
  EXPECT_FALSE(has(memory(), "overcommit"));
  put("proc/sys/vm/overcommit_memory", "2\n");
  EXPECT_EQ(named(memory(), "overcommit").verdict, Verdict::note);
}

TEST_F(CheckMachine, ProgramsAreLookedForInPath) {
  environment["PATH"] = at("empty").string() + "::" + at("bin").string();
  Findings without;
  check_tools(here, without);
  EXPECT_EQ(named(without, "pdftotext").remedy, "sudo apt-get install poppler-utils");
  put("bin/pdftotext", "#!/bin/sh\n");
  EXPECT_TRUE(find_program(here, "pdftotext").empty()) << "it cannot be run";
  ASSERT_EQ(::chmod(at("bin/pdftotext").c_str(), 0755), 0);
  Findings with;
  check_tools(here, with);
  EXPECT_EQ(named(with, "pdftotext").text, at("bin/pdftotext").string());
}

TEST_F(CheckMachine, SlurmAndItsWayToConnectRanks) {
  const auto slurm = [&] {
    Findings f;
    check_slurm(here, f);
    return f;
  };
  EXPECT_THAT(named(slurm(), "Slurm").text, HasSubstr("not installed"));
  environment["SLURM_JOB_ID"] = "42", environment["SLURM_JOB_NUM_NODES"] = "2", environment["SLURM_NTASKS"] = "8";
  EXPECT_EQ(named(slurm(), "Slurm").text, "job 42, 2 nodes, 8 tasks");
  EXPECT_EQ(named(slurm(), "PMIx").remedy, "srun --mpi=list");
  put("usr/lib/x86_64-linux-gnu/slurm-wlm/auth_munge.so", "");
  EXPECT_EQ(named(slurm(), "PMIx").remedy, "sudo apt-get install slurm-wlm-basic-plugins");
  put("usr/lib/x86_64-linux-gnu/slurm-wlm/mpi_pmix.so", "");
  EXPECT_EQ(named(slurm(), "PMIx").verdict, Verdict::ok);
}

TEST_F(CheckMachine, LocaleAndTimer) {
  const auto system = [&] {
    Findings f;
    check_system(here, f);
    return f;
  };
  EXPECT_EQ(named(system(), "locale").remedy, "export LC_ALL=C.UTF-8");
  environment["LANG"] = "de_DE.utf8";
  EXPECT_EQ(named(system(), "locale").verdict, Verdict::ok);
  environment["LC_ALL"] = "C";
  EXPECT_EQ(named(system(), "locale").verdict, Verdict::note) << "LC_ALL rules";
  put("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
  EXPECT_EQ(named(system(), "timer").verdict, Verdict::note);
}

// Limits are the process's: set, and set back.
TEST_F(CheckMachine, FewOpenFilesAreAProblem) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto with = [&](rlim_t most) {
    rlimit limit = before;
    limit.rlim_cur = most;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    Findings f;
    check_system(here, f);
    ::setrlimit(RLIMIT_NOFILE, &before);
    return f;
  };
  const Findings few = with(32);
  EXPECT_EQ(named(few, "open files").verdict, Verdict::problem);
  EXPECT_EQ(few.code(), ExitCode::config);
  EXPECT_THAT(named(few, "open files").remedy, HasSubstr("ulimit -n "));
  EXPECT_EQ(named(with(256), "open files").verdict, Verdict::note);
}

TEST(CheckProgram, NamesTheLibraryItRunsWith) {
  Findings f;
  check_program(f);
  EXPECT_EQ(f.count(Verdict::ok), 2) << format_findings(f, {});
  EXPECT_THAT(named(f, "HDF5").text, HasSubstr("."));
}

}  // namespace
}  // namespace tw
