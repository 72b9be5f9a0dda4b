// A save that is killed, or whose disk fails, at every point of its way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

#include "src/core/error.h"
#include "src/core/file.h"
#include "tests/checkpoint/newest_toy.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

Ended run_child(std::vector<std::string> arguments, const std::string& fault = "") {
  arguments.insert(arguments.begin(), TW_CHECKPOINT_CHILD);
  ProcessOptions options;
  if (!fault.empty()) options.environment = {{"TW_FAULT", fault}};
  return run_process(arguments, options);
}

// Every fault point of a save; docs/checkpoint_format.md lists them.
const std::vector<std::string> kPoints = {
    "checkpoint.before_layout",   "checkpoint.after_layout",       "checkpoint.mid_data",
    "checkpoint.before_fsync",    "checkpoint.after_fsync",        "checkpoint.before_rename",
    "checkpoint.after_rename",    "checkpoint.before_manifest",    "checkpoint.after_manifest_tmp",
    "checkpoint.after_commit",    "checkpoint.during_retention",   "file.write",
    "file.fsync",                 "file.rename"};

class Crash : public testing::Test {
 protected:
  Ended save(int64_t step, const std::string& fault = "") {
    return run_child({"save", folder_.path().string(), std::to_string(step)}, fault);
  }
  int64_t newest() { return newest_toy(folder_.path()); }
  // No name that a save does not leave behind on success.
  void expect_no_litter(const std::string& when) {
    for (const std::string& name : names_in(folder_.path())) {
      EXPECT_TRUE(name.starts_with("lease.") || name.starts_with("step-")) << name << " after " << when;
      if (!name.starts_with("step-")) continue;
      EXPECT_THAT(names_in(folder_.path() / name),
                  testing::ElementsAre("MANIFEST", "model.h5", "shard-0000-of-0002.h5", "shard-0001-of-0002.h5"))
          << when;
    }
  }
  TemporaryFolder folder_;
};

TEST_F(Crash, KilledAnywhereTheNewestCommitIsFoundAndTheNextSaveSucceeds) {
  for (int64_t step = 1; step <= 3; ++step) ASSERT_EQ(save(step).code, 0);
  int64_t committed = 3;
  int kills = 0, kept = 0;
  for (const std::string& point : kPoints) {
    int passes = 0;
    for (int n = 1; n < 200; ++n) {
      const std::string fault = fmt::format("{}:*:{}:kill", point, n), when = fault;
      const Ended ended = save(committed + 1, fault);
      if (ended.code < 128) {
        ASSERT_EQ(ended.code, 0) << when << ended.err;
        ASSERT_EQ(newest(), ++committed) << when;
        break;
      }
      ASSERT_EQ(ended.code, 128 + SIGKILL) << when;
      ++kills, ++passes;
      const int64_t found = newest();
      ASSERT_THAT(found, AnyOf(committed, committed + 1)) << when;
      if (point == "checkpoint.after_commit" || point == "checkpoint.during_retention") {
        ASSERT_EQ(found, committed + 1) << when;
      }
      kept += found != committed;
      committed = found;
      // The lease of the dead process is taken over, its litter goes.
      const Ended next = save(committed + 1);
      ASSERT_EQ(next.code, 0) << when << next.err;
      ASSERT_EQ(newest(), ++committed) << when;
      expect_no_litter(when);
    }
    EXPECT_GT(passes, 0) << point << " was never passed";
  }
  EXPECT_GT(kept, 2) << "kills after the commit were among them";
  RecordProperty("kills", kills);
  std::printf("%d kills\n", kills);
}

TEST_F(Crash, AFailureAnywhereIsThrownByAllRanksAndLeavesNothing) {
  for (int64_t step = 1; step <= 3; ++step) ASSERT_EQ(save(step).code, 0);
  int64_t committed = 3;
  int failures = 0;
  for (const std::string& point : kPoints)
    for (const char* rank : {"0", "1"})
      for (int n = 1; n < 200; ++n) {
        const std::string when = fmt::format("{}:{}:{}:error", point, rank, n);
        const Ended ended = save(committed + 1, when);
        ASSERT_LT(ended.code, 128) << when << ended.err;
        if (ended.code == 0) {
          // Not passed so often, or passed after the commit: then it is only a warning.
          ASSERT_EQ(newest(), ++committed) << when;
          if (ended.err.find("fault point") != std::string::npos) continue;
          break;
        }
        ++failures;
        EXPECT_EQ(ended.code, int(ExitCode::io)) << when;
        EXPECT_THAT(ended.err, HasSubstr(fmt::format("fault point {} fired", point))) << when;
        ASSERT_EQ(newest(), committed) << when;
        expect_no_litter(when);
      }
  EXPECT_GE(failures, 40);
  std::printf("%d failures\n", failures);
}

TEST_F(Crash, ALimitOnFileSizesIsACleanError) {
  ASSERT_EQ(save(1).code, 0);
  for (const char* limit : {"0", "100", "5000", "65536", "70000", "80000"}) {
    const Ended ended = run_child({"limit", folder_.path().string(), "2", limit});
    EXPECT_EQ(ended.code == 128 + SIGXFSZ || ended.code == int(ExitCode::io), true) << limit << ended.code << ended.err;
    if (std::string(limit) == "65536") {
      EXPECT_THAT(ended.err, AllOf(HasSubstr("shard-0000-of-0002.h5.tmp needs"), HasSubstr("bytes are missing")));
    }
    EXPECT_EQ(newest(), 1) << limit;
  }
}

TEST_F(Crash, AFullDiskIsACleanError) {
  const Ended ended = run_child({"full", folder_.path().string()});
  if (ended.code == 100) GTEST_SKIP() << "mounting a small file system needs root";
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("no space for"), HasSubstr("are missing")));
}

}  // namespace
}  // namespace tw
