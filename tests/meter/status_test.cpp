#include "src/meter/status.h"

#include <regex>

#include <gtest/gtest.h>
#include <unistd.h>

#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/host.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {

TEST(Status, ReadsBack) {
  ScratchFolder folder;
  EXPECT_FALSE(read_status(folder.path()).has_value());
  RunStatus status;
  status.state = RunState::stopped;
  status.command = "tokenwerk train \"a b\".toml";
  status.exit_code = 75;
  status.reason = "signal 15; \"exit_code\": 3";
  status.step = 12, status.steps = 100, status.ranks = 4;
  write_status(folder.path(), status);
  const auto back = read_status(folder.path());
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->state, RunState::stopped);
  EXPECT_EQ(back->exit_code, 75);
  EXPECT_EQ(back->command, status.command);
  EXPECT_EQ(back->reason, status.reason);
  EXPECT_EQ(back->step, 12);
  EXPECT_EQ(back->steps, 100);
  EXPECT_EQ(back->ranks, 4);
  EXPECT_EQ(back->pid, ::getpid());
  EXPECT_EQ(back->host, host_name());
  EXPECT_FALSE(back->version.empty());
  EXPECT_NEAR(back->updated, unix_seconds(), 5);
  EXPECT_LE(back->started, back->updated);
}

TEST(Status, LaunchersFindTheCodeOfAnEndedRunAlone) {
  const std::regex wanted("\"exit_code\"[[:space:]]*:[[:space:]]*([0-9]{1,3})");  // as in launch/run
  ScratchFolder folder;
  RunStatus status;
  status.reason = "\"exit_code\": 3";
  write_status(folder.path(), status);
  const std::string running = read_file(folder / "status.json");
  EXPECT_FALSE(std::regex_search(running, wanted)) << running;
  EXPECT_EQ(read_status(folder.path())->state, RunState::running);
  status.state = RunState::failed;
  status.exit_code = 81;
  write_status(folder.path(), status);
  std::smatch match;
  const std::string failed = read_file(folder / "status.json");
  ASSERT_TRUE(std::regex_search(failed, match, wanted));
  EXPECT_EQ(match[1], "81");
}

TEST(Status, StatesOfExitCodes) {
  EXPECT_EQ(state_of(0), RunState::done);
  EXPECT_EQ(state_of(75), RunState::stopped);
  EXPECT_EQ(state_of(77), RunState::stopped);
  EXPECT_EQ(state_of(79), RunState::failed);
}

TEST(Status, DamageIsNamed) {
  for (const char* bad : {"", "{", "[1]", "{\"state\": \"running\"}", "{\"state\": \"asleep\"}", "{\"state\": 3}"}) {
    ScratchFolder folder;
    folder.write("status.json", bad);
    try {
      read_status(folder.path());
      ADD_FAILURE() << bad;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << bad;
    }
  }
}

}  // namespace
}  // namespace tw
