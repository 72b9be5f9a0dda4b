// What is measured has its shape; how fast the machine is does not matter.
#include "src/roof/roof.h"

#include <gtest/gtest.h>

#include <cmath>

#include "comm/self.h"
#include "src/core/file.h"
#include "src/core/thread_team.h"
#include "tests/support/process.h"

namespace tw {
namespace {

TEST(MemoryRates, LevelsRiseAndTheLastHoldsAll) {
  ThreadTeam team(2);
  const auto self = make_self_communicator();
  const std::vector<MemoryRate> rates = measure_memory_rates(*self, Stream(team), {.l2 = 1 << 18, .l3 = 1 << 20}, 0.001);
  ASSERT_EQ(rates.size(), 3u);
  for (const MemoryRate& r : rates) {
    EXPECT_GT(r.read, 0) << r.level;
    EXPECT_GT(r.copy, 0) << r.level;
    EXPECT_GT(r.triad, 0) << r.level;
    EXPECT_GE(r.best(), r.read);
    EXPECT_LE(r.working_set, r.capacity) << r.level;
  }
  EXPECT_LT(rates[0].capacity, rates[1].capacity);
  EXPECT_TRUE(std::isinf(rates[2].capacity));
  EXPECT_GE(rates[2].working_set, 8.0 * (1 << 20));
}

TEST(CacheSizes, AreReadFromTheKernelForAllThreads) {
  const TemporaryFolder root;
  const auto cache = [&](const char* name, const char* level, const char* type, const char* size, const char* cpus) {
    const auto folder = root.path() / "sys/devices/system/cpu/cpu0/cache" / name;
    make_folders(folder);
    write_file_atomically(folder / "level", std::string(level) + "\n");
    write_file_atomically(folder / "type", std::string(type) + "\n");
    write_file_atomically(folder / "size", std::string(size) + "\n");
    write_file_atomically(folder / "shared_cpu_list", std::string(cpus) + "\n");
  };
  EXPECT_EQ(cache_sizes(2, root.path()).l2, 2.0 * (1 << 20)) << "nothing is known";
  cache("index0", "1", "Data", "32K", "0");
  cache("index2", "2", "Unified", "512K", "0,4");
  cache("index3", "3", "Unified", "16M", "0-3,8-11");
  const CacheSizes one = cache_sizes(1, root.path()), nine = cache_sizes(9, root.path());
  EXPECT_EQ(one.l2, 512.0 * 1024);
  EXPECT_EQ(one.l3, 16.0 * (1 << 20));
  EXPECT_EQ(nine.l2, 5 * 512.0 * 1024);
  EXPECT_EQ(nine.l3, 2 * 16.0 * (1 << 20));
  cache("index3", "3", "Unified", "-7 damaged", "x");
  EXPECT_EQ(cache_sizes(1, root.path()).l3, 32.0 * (1 << 20));
}

TEST(Spread, KnowsBestMedianAndNoise) {
  const Spread s = spread_of({3, 1, 2, 10});
  EXPECT_EQ(s.best, 1);
  EXPECT_EQ(s.median, 2.5);
  EXPECT_EQ(s.worst, 10);
  EXPECT_DOUBLE_EQ(s.noise(), 9 / 2.5);
  EXPECT_EQ(spread_of({}).noise(), 0);
  int calls = 0;
  EXPECT_EQ(time_repeated(5, 1e9, [&] { ++calls; }).repeats, 5);
  EXPECT_EQ(calls, 6) << "the first does not count";
  EXPECT_EQ(time_repeated(5, 0, [] {}).repeats, 2) << "the budget is used up, but one figure is no spread";
}

}  // namespace
}  // namespace tw
