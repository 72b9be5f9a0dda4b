#include "src/core/format.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <limits>

#include "src/core/error.h"

namespace tw {
namespace {

TEST(Format, Bytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(3.0 * (1 << 20)), "3.0 MiB");
  EXPECT_EQ(human_bytes(0x1p50 * 2000), "2000.0 PiB");
}

TEST(Format, Counts) {
  EXPECT_EQ(human_count(17), "17");
  EXPECT_EQ(human_count(4100), "4.1k");
  EXPECT_EQ(human_count(12.3e6), "12.3M");
  EXPECT_EQ(human_count(124e6), "124M");
}

TEST(Format, Seconds) {
  EXPECT_EQ(human_seconds(12e-6), "12 us");
  EXPECT_EQ(human_seconds(0.0031), "3.1 ms");
  EXPECT_EQ(human_seconds(1.25), "1.25 s");
  EXPECT_EQ(human_seconds(130), "2 min 10 s");
  EXPECT_EQ(human_seconds(3 * 3600 + 4 * 60 + 10), "3 h 04 min");
  EXPECT_EQ(human_seconds(std::numeric_limits<double>::quiet_NaN()), "?");
  EXPECT_EQ(human_seconds(std::numeric_limits<double>::infinity()), "?");
}

TEST(Format, Joules) {
  EXPECT_EQ(human_joules(0), "0 J");
  EXPECT_EQ(human_joules(51200), "51.2 kJ");
  EXPECT_EQ(human_joules(0.0031), "3.1 mJ");
  EXPECT_EQ(human_joules(2.5e9), "2.5 GJ");
}

// 59.999 s is not "60.00 s", 1023.99 KiB not "1024.0 KiB": the unit is chosen for what is printed.
TEST(Format, RoundingGoesOnToTheNextUnit) {
  EXPECT_EQ(human_seconds(59.999), "1 min 00 s");
  EXPECT_EQ(human_seconds(0.99999), "1.00 s");
  EXPECT_EQ(human_bytes(1024 * 1023.99), "1.0 MiB");
  EXPECT_EQ(human_count(999.6), "1.0k");
  EXPECT_EQ(human_count(999990), "1.0M");
  EXPECT_EQ(human_joules(999.9), "1 kJ");
}

TEST(Format, LongTextsLoseTheirMiddle) {
  EXPECT_EQ(shortened("abcdef", 6), "abcdef");
  EXPECT_EQ(shortened("abcdefgh", 6), "abc […] fgh");
  EXPECT_EQ(shortened("ab\u00e9\u00e9\u00e9cd", 6), "ab […] cd") << "whole characters";
  EXPECT_EQ(blank_lines_folded("a\n\n\nb\n"), "a\n\n\nb\n");
  EXPECT_EQ(blank_lines_folded("a\n\n\n\nb\n\n\n\n\n"), "a\n[3 blank lines]\nb\n[4 blank lines]\n");
  EXPECT_EQ(Error(ExitCode::data, std::string(1 << 20, 'x')).what(), shortened(std::string(1 << 20, 'x'), 8000));
}

TEST(Format, ShellWordsComeBackFromTheShell) {
  EXPECT_EQ(shell_word("runs/first-2_a.toml"), "runs/first-2_a.toml");
  EXPECT_EQ(shell_word(""), "''");
  for (const std::string text : {"", "a b", "it's", "$(x) `y` \\ \"q\"", "*?[a]", "line\nnext", "~", "#a", "ä;&|<>!"}) {
    const std::string command = "printf %s " + shell_word(text);
    FILE* shell = ::popen(command.c_str(), "r");
    ASSERT_NE(shell, nullptr);
    char back[64] = {};
    const size_t n = std::fread(back, 1, sizeof back, shell);
    EXPECT_EQ(::pclose(shell), 0);
    EXPECT_EQ(std::string(back, n), text) << command;
  }
}

}  // namespace
}  // namespace tw
