// Training whose disk fails call by call (tests/support/fail_shim.cpp), and the best checkpoint by name.
// TW_LONG=1: every call; else some.
#include <gmock/gmock.h>

#include <fmt/format.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;

class Saves : public Cli {
 protected:
  Words train(const std::string& run, int steps = 8) const {
    return Words{"train", "--out", path(run), "--data.train", raw_tokens(), "--model.vocab_size", "61", "--checkpoint.interval", "2"} + tiny(steps);
  }
};

TEST_F(Saves, ACallThatFailsCostsACheckpointAndNeverTheRun) {
  ASSERT_EQ(tokenwerk(train("untouched")).code, 0);
  const std::string want = weights(path("untouched"));
  const char* text = std::getenv("TW_LONG");
  const bool all = text && *text && std::string(text) != "0";
  int failures = 0, ended = 0;
  for (const char* mode : {"once", "forever"})
    for (int n = 1, tries = 0;; n += all ? 1 : 17, ++tries) {
      ASSERT_LT(n, 3000);
      const std::string failure = fmt::format("{}:{}:{}", n, mode, mode == std::string("once") ? EIO : ENOSPC), run = fmt::format("{}{}", mode, n);
      const Ended e = tokenwerk(train(run), {.environment = {{"TW_FAIL", failure}, {"TW_FAIL_UNDER", path(run) + "/checkpoints"}, {"LD_PRELOAD", TW_FAIL_SHIM}}});
      const bool fired = e.err.find("fail_shim: ") != std::string::npos;
      failures += fired;
      // The last save must succeed, and so must the look for a checkpoint to go on from.
      ASSERT_THAT(e.code, AnyOf(0, 65, 66, 73, 74)) << failure << e.err;
      if (e.code != 0) {
        ++ended;
        const Ended again = tokenwerk(train(run));
        ASSERT_EQ(again.code, 0) << failure << again.err;
      }
      ASSERT_EQ(weights(path(run)), want) << failure << e.err;
      fs::remove_all(path(run));
      if (!fired || (!all && tries == 5)) break;
    }
  EXPECT_GT(failures, 4);
  std::printf("%d failures in training, %d ended it\n", failures, ended);
}

TEST_F(Saves, TheBestIsUsedByName) {
  const Words words = train("run", 20) + Words{"--data.val", raw_tokens(), "--eval.interval", "5", "--checkpoint.keep_best", "true"};
  ASSERT_EQ(tokenwerk(words).code, 0);
  const std::string best = path("run") + "/checkpoints/best";
  const Ended verified = tokenwerk({"verify", best});
  EXPECT_EQ(verified.code, 0) << verified.err;
  EXPECT_THAT(verified.out, HasSubstr("held out"));
  write("ids.txt", "1 2 3\n");
  const Ended tokens = tokenwerk({"generate", best, "--ids", path("ids.txt"), "--greedy", "-n", "3", "--print-ids"});
  EXPECT_EQ(tokens.code, 0) << tokens.err;
  const Ended none = tokenwerk({"verify", path("run") + "/best_of_all"});
  EXPECT_EQ(none.code, 66);
}

}  // namespace
}  // namespace tw
