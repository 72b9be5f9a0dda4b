// Each call of the C library by which a save or a load touches the disk fails in its turn, once, and from then on for ever.
// TW_LONG=1: each of them, with every error below; else one in some.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <map>

#include "tests/checkpoint/newest_toy.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::AnyOf;

bool thorough() {
  const char* text = std::getenv("TW_LONG");
  return text && *text && std::string(text) != "0";
}

// The call that failed first, "fsync"; "" where its turn never came.
std::string failed_call(const Ended& ended) {
  const size_t at = ended.err.find("fail_shim: ");
  if (at == std::string::npos) return "";
  const size_t begin = ended.err.find(' ', at + 11) + 1;
  return ended.err.substr(begin, ended.err.find(' ', begin) - begin);
}

class Failure : public testing::Test {
 protected:
  Ended child(const std::string& what, int64_t step, const std::string& failure) {
    ProcessOptions options;
    if (!failure.empty()) options.environment = {{"TW_FAIL", failure}, {"TW_FAIL_UNDER", folder_.path().string()}, {"LD_PRELOAD", TW_FAIL_SHIM}};
    return run_process({TW_CHECKPOINT_CHILD, what, folder_.path().string(), std::to_string(step)}, options);
  }
  int64_t newest() { return newest_toy(folder_.path()); }
  // Sums over a test, for people.
  void tell(const char* what) const {
    std::string text;
    for (const auto& [call, n] : hits_) text += fmt::format(" {} {}", call, n);
    std::printf("%s: %d failures of calls:%s\n", what, total_, text.c_str());
  }
  void count(const Ended& e) { ++hits_[failed_call(e)], ++total_; }

  TemporaryFolder folder_;
  std::map<std::string, int> hits_;
  int total_ = 0;
};

struct Kind {
  const char* mode;
  std::string error;
};
std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const char* mode : {"once", "forever"})
    for (const int error : thorough() ? std::vector<int>{EIO, ENOSPC, EACCES, EMFILE} : std::vector<int>{mode == std::string("once") ? EIO : ENOSPC})
      all.push_back({mode, std::to_string(error)});
  return all;
}

TEST_F(Failure, OfEachCallOfASaveCostsNoCommit) {
  for (int64_t step = 1; step <= 3; ++step) ASSERT_EQ(child("save", step, "").code, 0);
  int64_t committed = 3;
  for (const Kind& kind : kinds()) {
    int n = 1, failed = 0;
    for (;; ++n) {
      ASSERT_LT(n, 5000);
      const std::string when = fmt::format("{}:{}:{}", n, kind.mode, kind.error);
      const Ended ended = child("save", committed + 1, when);
      if (failed_call(ended).empty()) {
        ASSERT_EQ(ended.code, 0) << when << ended.err;
        ASSERT_EQ(newest(), ++committed) << when;
        break;
      }
      count(ended);
      ASSERT_LT(ended.code, 128) << when << ended.err;
      ASSERT_THAT(ended.code, AnyOf(0, 65, 66, 73, 74, 76)) << when << ended.err;
      const int64_t found = newest();
      // Whatever call failed: no commit is lost, and "saved" is said of what is there alone.
      if (ended.code == 0) {
        ASSERT_EQ(found, committed + 1) << when << ended.err;
      } else {
        ++failed;
        ASSERT_THAT(found, AnyOf(committed, committed + 1)) << when << ended.err;
      }
      committed = found;
      // What nobody could remove is removed by the next one, else it would grow with each turn, and the calls with it.
      if (kind.mode == std::string("forever")) {
        ASSERT_EQ(child("save", committed + 1, "").code, 0) << when;
        ASSERT_EQ(newest(), ++committed) << when;
      }
      if (!thorough()) n += kind.mode == std::string("once") ? 8 : 30;
    }
    EXPECT_GT(failed, 1) << kind.mode;
    ASSERT_EQ(child("save", committed + 1, "").code, 0) << "the next save finds nothing in its way";
    ASSERT_EQ(newest(), ++committed);
  }
  if (thorough())
    for (const char* call : {"open", "pwrite", "fsync", "rename", "posix_fallocate", "mkdir", "unlink"}) EXPECT_GT(hits_[call], 0) << call;
  tell("save");
}

TEST_F(Failure, OfEachCallOfALoadGivesRightWeightsOrAnError) {
  for (int64_t step = 1; step <= 3; ++step) ASSERT_EQ(child("save", step, "").code, 0);
  for (const Kind& kind : kinds()) {
    int refused = 0;
    for (int n = 1;; ++n) {
      ASSERT_LT(n, 5000);
      const std::string when = fmt::format("{}:{}:{}", n, kind.mode, kind.error);
      const Ended ended = child("load", 3, when);
      if (failed_call(ended).empty()) {
        ASSERT_EQ(ended.code, 0) << when << ended.err;
        break;
      }
      count(ended);
      ASSERT_LT(ended.code, 128) << when << ended.err;
      // 0: every element was right, of the newest or of one before.
      ASSERT_THAT(ended.code, AnyOf(0, 65, 66, 74)) << when << ended.err;
      refused += ended.code != 0;
      if (!thorough()) n += kind.mode == std::string("once") ? 4 : 15;
    }
    EXPECT_GT(refused, 0) << kind.mode;
  }
  ASSERT_EQ(newest(), 3) << "a load changes nothing";
  tell("load");
}

TEST_F(Failure, ShortReadsAndWritesAreCarriedOn) {
  ASSERT_EQ(child("save", 1, "1:forever:short").code, 0);
  EXPECT_EQ(newest(), 1);
  EXPECT_EQ(child("load", 1, "1:forever:short").code, 0);
}

}  // namespace
}  // namespace tw
