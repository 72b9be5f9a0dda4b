#include "src/train/self_test.h"

#include <gtest/gtest.h>

#include "src/core/fault.h"
#include "src/core/thread_team.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {

TEST(SelfTest, PassesOnSoundDevices) {
  for (const int ranks : {1, 2, 4})
    run_ranks(ranks, [](Communicator& comm) {
      ThreadTeam team(2);
      self_test(comm, Stream(team));
    });
}

#if defined(TW_FAULT_POINTS)
TEST(SelfTest, NamesTheRankThatErrs) {
  for (const char* point : {"self_test.product", "self_test.exchange"}) {
    set_fault(std::string(point) + ":1:1:flip:5");
    int named = 0;
    run_ranks(2, [&](Communicator& comm) {
      ThreadTeam team(1);
      try {
        self_test(comm, Stream(team));
      } catch (const Error& e) {
        if (e.code() == ExitCode::corruption && std::string(e.what()).find("rank 1 on ") != std::string::npos &&
            std::string(e.what()).find("rank 0 on ") == std::string::npos && comm.rank() == 0)
          ++named;
      }
    });
    EXPECT_EQ(named, 1) << point;
  }
  set_fault("");
}
#endif

}  // namespace
}  // namespace tw
