// Reading /proc and /sys.
#include "src/machine/kernel_files.h"

#include <sys/stat.h>

#include "tests/machine/fake_machine.h"

namespace tw {
namespace {
using testing::ElementsAre;
using testing::IsEmpty;

class KernelFiles : public FakeMachine {};

TEST(CpuList, GoesBothWays) {
  EXPECT_THAT(parse_cpu_list("0-3,8\n"), ElementsAre(0, 1, 2, 3, 8));
  EXPECT_THAT(parse_cpu_list("5"), ElementsAre(5));
  EXPECT_THAT(parse_cpu_list("3,1,1-2"), ElementsAre(1, 2, 3));
  EXPECT_EQ(cpu_list_text({0, 1, 2, 3, 8, 10, 11}), "0-3,8,10-11");
  EXPECT_EQ(cpu_list_text({}), "");
}

TEST(CpuList, StopsAtWhatIsNone) {
  EXPECT_THAT(parse_cpu_list(""), IsEmpty());
  EXPECT_THAT(parse_cpu_list("-1"), IsEmpty());
  EXPECT_THAT(parse_cpu_list("0,3-1"), ElementsAre(0));
  EXPECT_THAT(parse_cpu_list("0,1-99999999"), ElementsAre(0)) << "no machine has so many, and memory would go";
  EXPECT_THAT(parse_cpu_list("0,99999999999999999999"), ElementsAre(0));
}

TEST(KernelField, IsFoundByItsName) {
  const std::string text = "MemTotal:       16384 kB\nMemTotalOdd: 1\nmodel name\t: AMD EPYC\nnr_x 12\nempty:\n";
  EXPECT_EQ(kernel_field(text, "MemTotal"), "16384 kB");
  EXPECT_EQ(kernel_field(text, "model name"), "AMD EPYC");
  EXPECT_EQ(kernel_field(text, "nr_x "), "12");
  EXPECT_EQ(kernel_field(text, "empty"), "");
  EXPECT_EQ(kernel_field(text, "absent"), "");
}

TEST_F(KernelFiles, WhatIsNoFileIsEmpty) {
  EXPECT_EQ(kernel_text(at("absent")), "");
  EXPECT_EQ(kernel_text(at(".")), "");
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_EQ(kernel_text(at("pipe")), "") << "reading it would wait for ever";
  put("text", "max\n");
  EXPECT_EQ(kernel_text(at("text")), "max");
  EXPECT_FALSE(kernel_number(at("text")));
  put("number", " 42 kB\n");
  EXPECT_EQ(kernel_number(at("number")), 42);
  put("large", std::string(3 << 20, 'x'));
  EXPECT_EQ(kernel_text(at("large")).size(), size_t(1) << 20);
}

TEST_F(KernelFiles, VersionTwoGroupsBoundByTheTightestAbove) {
  put("proc/self/cgroup", "0::/jobs/mine\n");
  put("sys/fs/cgroup/cpu.max", "max 100000\n");
  put("sys/fs/cgroup/jobs/cpu.max", "150000 100000\n");
  put("sys/fs/cgroup/jobs/mine/cpu.max", "800000 100000\n");
  put("sys/fs/cgroup/jobs/mine/cpuset.cpus.effective", "2-3\n");
  put("sys/fs/cgroup/jobs/cpuset.cpus.effective", "0-7\n");
  put("sys/fs/cgroup/jobs/mine/memory.max", "4294967296\n");
  put("sys/fs/cgroup/jobs/mine/memory.current", "3221225472\n");
  put("sys/fs/cgroup/jobs/mine/memory.stat", "anon 5\ninactive_file 1073741824\n");
  put("sys/fs/cgroup/jobs/memory.max", "max\n");
  const GroupLimits limits = group_limits(here.root);
  EXPECT_EQ(limits.cores, 1.5);
  EXPECT_EQ(limits.memory, double(4ll << 30));
  EXPECT_EQ(limits.memory_left, double(2ll << 30)) << "file cache that can go counts as free";
  EXPECT_THAT(limits.cpus, ElementsAre(2, 3));
}

TEST_F(KernelFiles, VersionOneGroupsToo) {
  put("proc/self/cgroup", "4:memory:/box\n3:cpu,cpuacct:/box\n2:cpuset:/box\n1:name=systemd:/x\n");
  put("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "250000\n");
  put("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/cpuset/box/cpuset.effective_cpus", "1\n");
  put("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1073741824\n");
  put("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "1048576\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  const GroupLimits limits = group_limits(here.root);
  EXPECT_EQ(limits.cores, 2.5);
  EXPECT_EQ(limits.memory, double(1 << 30));
  EXPECT_EQ(limits.memory_left, double((1 << 30) - (1 << 20)));
  EXPECT_THAT(limits.cpus, ElementsAre(1));
}

TEST_F(KernelFiles, InAContainerThePathMayBeTheHosts) {
  put("proc/self/cgroup", "0::/system.slice/docker-1234.scope\n");
  put("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(group_limits(here.root).cores, 0.5);
}

TEST_F(KernelFiles, GroupsThatSayNonsenseBoundNothing) {
  put("proc/self/cgroup", "nonsense\n0:\n::\n0::/../../../etc\n");
  put("sys/fs/cgroup/cpu.max", "-x 0\n");
  put("sys/fs/cgroup/memory.max", "a lot\n");
  const GroupLimits limits = group_limits(here.root);
  EXPECT_FALSE(limits.cores);
  EXPECT_FALSE(limits.memory);
  EXPECT_FALSE(group_limits(at("nothing")).cores);
}

TEST_F(KernelFiles, MemoryIsInBytes) {
  put("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\nHugePages_Total: 3\nHugePages_Free: 2\nHugepagesize: 2048 kB\n");
  const MemoryState m = read_memory(here.root);
  EXPECT_EQ(m.total, 1000 * 1024);
  EXPECT_EQ(m.usable(), 400 * 1024);
  EXPECT_EQ(m.swap_total - m.swap_free, 6 * 1024);
  EXPECT_EQ(m.huge_pages, 3);
  EXPECT_EQ(m.huge_page, 2 << 20);
}

}  // namespace
}  // namespace tw
