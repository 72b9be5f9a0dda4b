#include "src/core/host.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace tw {
namespace {

TEST(Host, IsNamedAndHasABootAndNamespaces) {
  EXPECT_FALSE(host_name().empty());
  EXPECT_EQ(boot_id().size(), 36u) << "a UUID without the line's end";
  EXPECT_EQ(namespace_id("pid").substr(0, 5), "pid:[");
  EXPECT_EQ(namespace_id("no such kind"), "");
}

TEST(Host, FieldsOfAProcessAreCountedBehindItsName) {
  char before[16];
  ::prctl(PR_GET_NAME, before);
  ::prctl(PR_SET_NAME, "a) (b c");
  const ProcessStat stat("self");
  ::prctl(PR_SET_NAME, before);
  EXPECT_EQ(stat.field(3), "R");
  EXPECT_EQ(stat.field(4), std::to_string(::getppid()));
  EXPECT_GT(std::stoll(stat.field(22)), 0);
  EXPECT_EQ(stat.field(1000), "");
  EXPECT_EQ(ProcessStat("no such process").field(3), "");
}

}  // namespace
}  // namespace tw
