#include "src/meter/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace tw {
namespace {

using testing::HasSubstr;

TrainProgress some_progress() {
  return {.step = 120,
          .steps = 1000,
          .loss = 3.4123,
          .tokens_per_second = 4120,
          .model_flops_per_second = 1.234e10,
          .joules_per_token = 0.00231,
          .kind = EnergyKind::measured,
          .seconds_left = 80};
}

TEST(ProgressText, SaysAllWhereThereIsRoom) {
  EXPECT_EQ(train_progress_text(some_progress(), 0),
            "step 120/1000  loss 3.412  4.1k tok/s  12.3 GFLOP/s  2.31 mJ/token  1 min 20 s left");
  EXPECT_THAT(train_progress_text(some_progress(), 200), HasSubstr("[##..................]"));
}

TEST(ProgressText, NeverIsWiderThanTheTerminal) {
  for (int width = 1; width < 130; ++width) {
    EXPECT_LE(int(train_progress_text(some_progress(), width).size()), width);
    EXPECT_LE(int(work_progress_text({"tokenize", 12e6, 48e6, true, "", 4}, width).size()), width);
  }
  EXPECT_THAT(train_progress_text(some_progress(), 50), HasSubstr("step 120/1000  loss 3.412"));
}

TEST(ProgressText, MarksJoulesThatAreAssumedAndSaysWhereThereAreNone) {
  TrainProgress p = some_progress();
  p.kind = EnergyKind::assumed;
  EXPECT_THAT(train_progress_text(p, 0), HasSubstr("mJ/token (assumed)"));
  p.joules_per_token = kNoJoules;
  EXPECT_THAT(train_progress_text(p, 0), HasSubstr("no meter"));
}

TEST(ProgressText, OfWork) {
  EXPECT_EQ(work_progress_text({"tokenize", 12 << 20, 48 << 20, true, "", 4}, 0),
            "tokenize: 12.0 MiB of 48.0 MiB  3.0 MiB/s  12 s left");
  EXPECT_EQ(work_progress_text({"scan", 500, 2000, false, "files", 2}, 0),
            "scan: 500 of 2.0k files  250 files/s  6 s left");
  EXPECT_EQ(work_progress_text({"scan", 5, 0, false, "files", 0}, 0), "scan: 5 files");
}

class Pipe {
 public:
  Pipe() {
    if (::pipe(ends_) != 0) throw std::runtime_error("pipe");
  }
  ~Pipe() {
    ::close(ends_[0]);
    if (ends_[1] >= 0) ::close(ends_[1]);
  }
  int fd() const { return ends_[1]; }
  std::string all() {
    ::close(ends_[1]);
    ends_[1] = -1;
    std::string text(1 << 16, '\0');
    text.resize(size_t(std::max<ssize_t>(0, ::read(ends_[0], text.data(), text.size()))));
    return text;
  }

 private:
  int ends_[2];
};

TEST(ProgressLine, RedrawsOnATerminal) {
  Pipe pipe;
  {
    ProgressLine line({.terminal = 1, .fd = pipe.fd(), .redraw_every = 0});
    EXPECT_TRUE(line.due(0));
    line.draw("one", 0);
    line.draw("two", 0.5);
  }
  EXPECT_EQ(pipe.all(), "\rone\x1b[K\rtwo\x1b[K\n");
}

TEST(ProgressLine, IsAPlainLineNowAndThenElsewhere) {
  Pipe pipe;
  ProgressLine line({.fd = pipe.fd()});  // a pipe is no terminal
  EXPECT_FALSE(line.due(0.05)) << "the first second stays silent";
  EXPECT_TRUE(line.due(1)) << "the end is shown";
  line.draw("done", 1);
  EXPECT_FALSE(line.due(1));
  line.finish();
  EXPECT_EQ(pipe.all(), "done\n");
}

TEST(ProgressLine, KeepsQuiet) {
  Pipe pipe;
  {
    ProgressLine line({.quiet = true, .terminal = 1, .fd = pipe.fd(), .redraw_every = 0});
    EXPECT_FALSE(line.due(1));
    line.draw("one", 1);
  }
  EXPECT_EQ(pipe.all(), "");
}

TEST(WorkMeter, CountsAndEnds) {
  Pipe pipe;
  {
    WorkMeter meter("scan", 3, false, "files", {.terminal = 1, .fd = pipe.fd(), .redraw_every = 1000});
    for (int i = 0; i < 3; ++i) meter.advance(1);
  }
  const std::string text = pipe.all();
  EXPECT_THAT(text, HasSubstr("scan: 1 of 3 files"));
  EXPECT_THAT(text, testing::Not(HasSubstr("2 of 3")));
  EXPECT_THAT(text, HasSubstr("scan: 3 of 3 files"));
}

}  // namespace
}  // namespace tw
