#include "src/core/thread_team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "src/core/error.h"

namespace tw {
namespace {

class Team : public testing::TestWithParam<int> {};

TEST_P(Team, DoesEveryItemOnce) {
  ThreadTeam team(GetParam());
  EXPECT_EQ(team.size(), GetParam());
  for (int64_t items : {0, 1, 2, 3, 7, 1000}) {
    std::vector<std::atomic<int>> seen(static_cast<size_t>(items));
    std::atomic<bool> outside{false};
    team.run(items, [&](int64_t i, int thread) {
      ++seen[size_t(i)];
      if (thread < 0 || thread >= team.size()) outside = true;
    });
    for (const auto& s : seen) ASSERT_EQ(s.load(), 1);
    EXPECT_FALSE(outside);
  }
}

TEST_P(Team, StretchesGiveEveryBlockOnce) {
  ThreadTeam team(GetParam());
  for (int64_t blocks : {0, 1, 2, 3, 7, 1000}) {
    std::vector<std::atomic<int>> seen(static_cast<size_t>(blocks));
    std::vector<int64_t> last(size_t(team.size()), -1);
    team.run_stretches(blocks, [&](int64_t i, int thread) {
      ++seen[size_t(i)];
      last[size_t(thread)] = i;  // no two threads have one number
    });
    for (const auto& s : seen) ASSERT_EQ(s.load(), 1);
  }
  EXPECT_THROW(team.run_stretches(10, [](int64_t i, int) { if (i == 7) throw std::runtime_error("seven"); }), std::runtime_error);
  int64_t order = 0;
  ThreadTeam alone(1);
  alone.run_stretches(100, [&](int64_t i, int) { EXPECT_EQ(i, order++); });
}

TEST_P(Team, RunsAgainAndAgain) {
  ThreadTeam team(GetParam());
  int64_t sum = 0;
  std::vector<int64_t> of_item(3);
  for (int round = 0; round < 2000; ++round) {
    team.run(3, [&](int64_t i, int) { of_item[size_t(i)] = round + i; });  // each visible after run()
    for (int64_t v : of_item) sum += v;
  }
  EXPECT_EQ(sum, 3 * (1999 * 2000 / 2) + 2000 * 3);
}

TEST_P(Team, ThrowsABodysExceptionAndGoesOn) {
  ThreadTeam team(GetParam());
  for (int round = 0; round < 20; ++round) {
    try {
      team.run(100, [&](int64_t i, int) {
        if (i == 37) throw std::runtime_error("item 37");
      });
      ADD_FAILURE() << "no exception";
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "item 37");
    }
    EXPECT_THROW(team.run(50, [](int64_t, int) { throw 1; }), int);  // all at once
    std::atomic<int> done{0};
    team.run(10, [&](int64_t, int) { ++done; });
    EXPECT_EQ(done, 10);
  }
}

TEST_P(Team, ScratchIsEachThreadsOwnAndKept) {
  ThreadTeam team(GetParam());
  std::vector<void*> first;
  for (int t = 0; t < team.size(); ++t) first.push_back(team.scratch(t, 1000));
  for (int t = 0; t < team.size(); ++t) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first[size_t(t)]) % 64, 0u);
    EXPECT_EQ(team.scratch(t, 500), first[size_t(t)]);
    for (int u = 0; u < t; ++u) EXPECT_NE(first[size_t(t)], first[size_t(u)]);
  }
  const int64_t before = allocation_count();
  team.scratch(0, 1000);
  EXPECT_EQ(allocation_count(), before);
  team.scratch(0, 100000);
  EXPECT_EQ(allocation_count(), before + 1);
  EXPECT_NE(team.workspace(64), team.scratch(0, 64));
}

// Which thread gets an item is chance; what is allocated must not be.
TEST_P(Team, ScratchOfOneThreadIsScratchOfAll) {
  ThreadTeam team(GetParam());
  for (int64_t items : {1, 2, 50}) {
    const size_t bytes = 1000 * size_t(items);
    team.run(items, [&](int64_t, int thread) { team.scratch(thread, bytes); });
    const int64_t before = allocation_count();
    for (int t = 0; t < team.size(); ++t) team.scratch(t, bytes);
    EXPECT_EQ(allocation_count(), before) << items;
  }
}

TEST_P(Team, BlocksCoverTheRange) {
  ThreadTeam team(GetParam());
  for (int64_t count : {0, 1, 99, 100, 101}) {
    std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
    parallel_blocks(Stream(team), count, 10, [&](int64_t begin, int64_t end, int) {
      EXPECT_EQ(begin % 10, 0);
      EXPECT_LE(end - begin, 10);
      for (int64_t i = begin; i < end; ++i) ++seen[size_t(i)];
    });
    for (const auto& s : seen) ASSERT_EQ(s.load(), 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Team, testing::Values(1, 2, 3, 4));

TEST(ThreadTeam, NeedsAThread) {
  for (int threads : {0, -1}) {
    try {
      ThreadTeam team(threads);
      FAIL();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::config);
    }
  }
}

}  // namespace
}  // namespace tw
