// Ranks, where they are and how they talk. They are threads here, so all are on one node.
#include <mutex>

#include "comm/self.h"
#include "src/core/thread_team.h"
#include "src/machine/checks.h"
#include "src/machine/comm_speed.h"
#include "tests/machine/fake_machine.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {
using testing::HasSubstr;

class CheckRanks : public FakeMachine {
 protected:
  CheckRanks() {
    put("sys/devices/system/cpu/online", "0-3\n");
    make_folders(at("dev/shm"));
    environment["OMPI_COMM_WORLD_SIZE"] = "2";
  }
  // Rank 0's findings; all ranks must say the same.
  Findings check(int ranks, const GpuMap& map = {.missing = "none"}, int most_rows = 32, const std::function<void(Surroundings&, int rank)>& change = {}) const {
    std::vector<std::string> all(static_cast<size_t>(ranks));
    run_ranks(ranks, [&](Communicator& comm) {
      Surroundings mine = here;
      if (change) change(mine, comm.rank());
      Findings f;
      check_ranks(mine, map, comm, most_rows, f);
      all[size_t(comm.rank())] = to_json(f);
    });
    for (const std::string& one : all) EXPECT_EQ(one, all[0]);
    return findings_from_json(all[0]);
  }
};

TEST_F(CheckRanks, TheTableHasARowForEach) {
  const Finding ranks = named(check(3), "ranks");
  EXPECT_EQ(ranks.text, "3 on 1 node");
  ASSERT_EQ(ranks.table.size(), 4u);
  EXPECT_THAT(ranks.table[3], HasSubstr("0-3"));
  const Finding few = named(check(4, {.missing = "none"}, 2), "ranks");
  ASSERT_EQ(few.table.size(), 4u);
  EXPECT_THAT(few.table.back(), HasSubstr("2 more"));
  EXPECT_EQ(few.values.size(), 4u) << "JSON has them all";
}

TEST_F(CheckRanks, RanksBoundToOneCoreAreSeen) {
  const Findings shared = check(2, {.missing = "none"}, 32, [](Surroundings& mine, int) { mine.cpus = {0}; });
  EXPECT_THAT(named(shared, "binding").text, HasSubstr("2 ranks share one core"));
  const Findings apart = check(2, {.missing = "none"}, 32, [](Surroundings& mine, int rank) { mine.cpus = {rank}; });
  EXPECT_THAT(named(apart, "binding").text, HasSubstr("fewer cores than their share"));
  EXPECT_EQ(named(apart, "binding").remedy, "export OMPI_MCA_hwloc_base_binding_policy=none");
  EXPECT_EQ(named(check(2), "binding").verdict, Verdict::ok);
}

TEST_F(CheckRanks, MoreRanksThanCores) {
  put("sys/devices/system/cpu/online", "0\n");
  here.cpus = {0};
  EXPECT_EQ(named(check(2), "oversubscribed").remedy, "export OMPI_MCA_mpi_yield_when_idle=1");
  environment["OMPI_MCA_mpi_yield_when_idle"] = "1";
  EXPECT_EQ(named(check(2), "oversubscribed").remedy, "");
}

TEST_F(CheckRanks, EachRankHasAGpuOrIsNamed) {
  GpuMap map;
  map.boards = {{.index = 0, .uuid = "GPU-a"}, {.index = 1, .uuid = "GPU-b"}};
  map.path = {{"X", "NV4"}, {"NV4", "X"}};
  EXPECT_FALSE(has(check(2, map), "GPUs"));
  EXPECT_THAT(named(check(2, map), "ranks").table[2], testing::EndsWith("1"));
  EXPECT_EQ(named(check(3, map), "GPUs").text, "1 rank has no GPU of its own");
  EXPECT_EQ(named(check(3, map), "GPUs").remedy, "mpirun -np 2 tokenwerk ...");
  environment["CUDA_VISIBLE_DEVICES"] = "1";
  EXPECT_EQ(named(check(2, map), "GPUs").text, "1 rank has no GPU of its own");
}

TEST_F(CheckRanks, WithoutSharedMemory) {
  std::filesystem::remove(at("dev/shm"));
  EXPECT_THAT(named(check(2), "/dev/shm").remedy, HasSubstr("mount -t tmpfs"));
}

TEST_F(CheckRanks, OneRankStartedByHand) {
  environment.clear();
  const auto self = make_self_communicator();
  const auto alone = [&] {
    Findings f;
    check_ranks(here, {.missing = "none"}, *self, 32, f);
    return f;
  };
  EXPECT_EQ(named(alone(), "started by").remedy, "sudo apt-get install openmpi-bin");
  put("bin/mpirun", "#!/bin/sh\n");
  std::filesystem::permissions(at("bin/mpirun"), std::filesystem::perms::owner_all);
  environment["PATH"] = at("bin").string();
  here.superuser = true;
  EXPECT_EQ(named(alone(), "started by").verdict, Verdict::ok);
  EXPECT_EQ(named(alone(), "root").remedy, "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1");
  here.superuser = false;
  EXPECT_FALSE(has(alone(), "root"));
  for (int i = 0; i < 17; ++i) put("dev/shm/vader_segment.host." + std::to_string(i), "");
  EXPECT_THAT(named(alone(), "left behind").text, HasSubstr("17 segments"));
}

TEST_F(CheckRanks, SpeedsAreMeasuredOnAllRanksAlike) {
  std::mutex mutex;
  std::vector<std::string> all;
  run_ranks(3, [&](Communicator& comm) {
    ThreadTeam team(1);
    Findings f;
    f.begin("MPI");
    check_exchange(comm, Stream(team), false, f);
    check_shared_folder(here, comm, f);
    const std::lock_guard lock(mutex);
    all.push_back(to_json(f));
  });
  EXPECT_EQ(all[0], all[1]);
  EXPECT_EQ(all[0], all[2]);
  const Findings f = findings_from_json(all[0]);
  EXPECT_THAT(named(f, "ranks 0, 1").text, HasSubstr("one node"));
  EXPECT_GT(std::get<double>(named(f, "all-reduce").values.at(1).second), 0);
  EXPECT_FALSE(has(f, "shared")) << "one node has one folder";
}

TEST(AllReduceSpeed, CountsWhatARankSends) {
  const AllReduceSpeed s{.bytes = 1e6, .seconds = 1e-3};
  EXPECT_DOUBLE_EQ(s.wire_rate(2), 1e9);
  EXPECT_DOUBLE_EQ(s.wire_rate(4), 1.5e9);
}

}  // namespace
}  // namespace tw
