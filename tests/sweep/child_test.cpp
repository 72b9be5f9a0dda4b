// Child processes: how they end, and what is said when they cannot begin.
#include "src/sweep/child.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "src/core/error.h"
#include "src/core/file.h"
#include "tests/support/process.h"

namespace tw {
namespace {
using testing::HasSubstr;

ChildEnd wait(Child& child) {
  for (;;) {
    if (const auto end = child.poll()) return *end;
    ::usleep(1000);
  }
}

TEST(Child, EndsWithItsCodeAndItsWordsAreAppendedToTheLog) {
  const TemporaryFolder folder;
  const auto log = folder.path() / "log.txt";
  for (int i = 0; i < 2; ++i) {
    Child child({"/bin/sh", "-c", "echo $WORD; echo wrong >&2; exit 79"}, log, {{"WORD", "said"}});
    const ChildEnd end = wait(child);
    EXPECT_EQ(end.code, 79);
    EXPECT_EQ(end.signal, 0);
    EXPECT_EQ(child.poll()->code, 79) << "the end is kept";
  }
  EXPECT_EQ(read_file(log), "said\nwrong\nsaid\nwrong\n");
}

TEST(Child, ASignalIsTold) {
  const TemporaryFolder folder;
  Child child({"/bin/sleep", "100"}, folder.path() / "log.txt");
  EXPECT_FALSE(child.poll());
  EXPECT_EQ(::getpgid(child.pid()), child.pid()) << "Ctrl-C on the terminal reaches it only by way of this process";
  child.signal(SIGKILL);
  const ChildEnd end = wait(child);
  EXPECT_EQ(end.signal, SIGKILL);
  EXPECT_THAT(text_of(end), HasSubstr("SIGKILL"));
  EXPECT_THAT(text_of(ChildEnd{0, SIGKILL, true}), HasSubstr("lack of memory"));
}

TEST(Child, IsAskedToStopWhenItIsNoLongerWanted) {
  const TemporaryFolder folder;
  const auto log = folder.path() / "log.txt";
  {
    const Child child({"/bin/sh", "-c", "trap 'echo saved; exit 75' USR1; echo ready; while :; do sleep 0.01; done"}, log);
    while (read_file(log) != "ready\n") ::usleep(1000);
  }
  EXPECT_EQ(read_file(log), "ready\nsaved\n");
}

TEST(Child, WhatCannotBeStartedIsNamed) {
  const TemporaryFolder folder;
  const auto log = folder.path() / "log.txt";
  const auto code = [&](const std::string& program, const std::filesystem::path& to, const char* part) {
    try {
      Child child({program}, to);
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr(part));
      return e.code();
    }
    return ExitCode::ok;
  };
  EXPECT_EQ(code("/nowhere/tokenwerk", log, "cannot start /nowhere/tokenwerk: No such file"), ExitCode::no_input);
  EXPECT_EQ(code("/etc/passwd", log, "Permission denied"), ExitCode::no_input);
  EXPECT_EQ(code("/bin/true", folder.path() / "no/log.txt", "log.txt"), ExitCode::cannot_create);
}

}  // namespace
}  // namespace tw
