// How findings are shown and carried.
#include "src/machine/finding.h"

#include <gmock/gmock.h>

#include <sstream>

#include "src/core/error.h"
#include "tests/support/process.h"

namespace tw {
namespace {
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Findings some() {
  Findings f;
  f.begin("CPU");
  f.ok("model", "AMD EPYC, 2 cores").values = {{"cores", 2.0}, {"model", std::string("AMD EPYC")}};
  f.note("governor", "powersave on 2 cores", "echo performance | sudo tee /sys/governor");
  f.begin("Runs");
  f.problem(ExitCode::cannot_create, "folder", "no file can be made in /x", "tokenwerk train --out /y ...").table = {"a  b", "1  2"};
  f.problem(ExitCode::io, "space", "none");
  return f;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The commands of a page, as they are when they are copied into a shell.
std::string commands_of(const std::string& page) {
  std::string commands;
  bool inside = false;
  for (const std::string& line : lines_of(page)) {
    const size_t start = line.find("$ ");
    if (!inside && (start == line.npos || line.find_first_not_of(' ') != start)) continue;
    commands += (inside ? line : line.substr(start + 2)) + "\n";
    inside = line.ends_with('\\');
  }
  return commands;
}

TEST(Findings, CountAndCodeAreOfTheFirstProblem) {
  const Findings f = some();
  EXPECT_EQ(f.count(Verdict::ok), 1);
  EXPECT_EQ(f.count(Verdict::note), 1);
  EXPECT_EQ(f.count(Verdict::problem), 2);
  EXPECT_EQ(f.code(), ExitCode::cannot_create);
  EXPECT_EQ(Findings().code(), ExitCode::ok);
}

TEST(Findings, GoThroughJsonWhole) {
  const Findings before = some(), after = findings_from_json(to_json(before));
  ASSERT_EQ(after.all().size(), before.all().size());
  for (size_t i = 0; i < before.all().size(); ++i) {
    const Finding &a = before.all()[i], &b = after.all()[i];
    EXPECT_EQ(a.section, b.section);
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.verdict, b.verdict);
    EXPECT_EQ(a.text, b.text);
    EXPECT_EQ(a.remedy, b.remedy);
    EXPECT_EQ(a.code, b.code);
    EXPECT_EQ(a.table, b.table);
    EXPECT_EQ(a.values, b.values);
  }
}

TEST(Findings, BytesThatAreNoTextBecomeJsonAllTheSame) {
  Findings f;
  f.begin("CPU");
  f.ok("model", "\xff\xfe bad \x01").values = {{"model", std::string("\xff")}};
  EXPECT_EQ(findings_from_json(to_json(f)).all().size(), 1u);
}

TEST(Findings, OtherTextIsRefused) {
  for (const char* text : {"", "{", "[1]", "[{\"section\":1}]", "[{\"section\":\"a\",\"name\":\"b\"}]"}) {
    try {
      findings_from_json(text);
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::bug) << text;
    }
  }
}

TEST(FindingPage, NoLineIsWiderThanAsked) {
  Findings f;
  f.begin("MPI");
  std::string long_text, long_remedy = "export";
  for (int i = 0; i < 40; ++i) long_text += "wörter und Wörter ", long_remedy += " NAME_" + std::to_string(i) + "=value";
  f.note("a name that is longer than its column", long_text, long_remedy);
  f.ok("short", "");
  for (const int width : {40, 60, 80, 120})
    for (const std::string& line : lines_of(format_findings(f, {.width = width}))) {
      const auto columns = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
      // The name alone may push the first line out.
      if (line.find("a name that") == line.npos) { EXPECT_LE(columns, width) << line; }
    }
}

TEST(FindingPage, IsAsciiWhereTheTerminalHasNoUtf8) {
  const std::string page = format_findings(some(), {.utf8 = false});
  EXPECT_TRUE(std::all_of(page.begin(), page.end(), [](unsigned char c) { return c < 0x80; })) << page;
  EXPECT_THAT(page, HasSubstr("  + model"));
  EXPECT_THAT(page, HasSubstr("  ! governor"));
  EXPECT_THAT(page, HasSubstr("  X folder"));
  EXPECT_THAT(format_findings(some(), {}), HasSubstr("  ✗ folder"));
}

TEST(FindingPage, HasColoursOnlyWhereAsked) {
  EXPECT_THAT(format_findings(some(), {}), Not(HasSubstr("\033")));
  EXPECT_THAT(format_findings(some(), {.colour = true}), HasSubstr("\033[1;31m✗\033[0m"));
}

TEST(FindingPage, SectionsStandOnceAndTablesAsTheyAre) {
  const std::string page = format_findings(some(), {});
  EXPECT_THAT(lines_of(page), testing::Contains("    a  b"));
  EXPECT_EQ(page.find("CPU\n"), page.rfind("CPU\n"));
}

TEST(FindingPage, CodesForTheTerminalInNamesOfFilesDoNothing) {
  Findings f;
  f.begin("Runs");
  f.problem(ExitCode::io, "fol\033[2Jder", "in /tmp/\033[31mred\nnext", "rm '/tmp/\033[31mred'").table = {"row \033]0;title\a"};
  const std::string page = format_findings(f, {});
  EXPECT_TRUE(std::none_of(page.begin(), page.end(), [](unsigned char c) { return (c < ' ' && c != '\n') || c == 0x7F; })) << page;
}

TEST(FindingPage, CommandsCanBeCopied) {
  Findings f;
  f.begin("Runs");
  const std::string odd = "/tmp/a  folder with 'quotes' and   blanks that is so long that it goes over the end of any line";
  f.note("one", "text", "printf '%s\\n' " + shell_word(odd) + " tail");
  std::string many = "printf '%s\\n'";
  for (int i = 0; i < 60; ++i) many += " word" + std::to_string(i);
  f.note("two", "text", many);
  for (const int width : {50, 80}) {
    const std::string commands = commands_of(format_findings(f, {.width = width}));
    const Ended shell = run_process({"bash", "-c", commands});
    EXPECT_EQ(shell.code, 0) << shell.err;
    std::string want = odd + "\ntail\n";
    for (int i = 0; i < 60; ++i) want += "word" + std::to_string(i) + "\n";
    EXPECT_EQ(shell.out, want) << commands;
  }
}

TEST(Findings, RootNeedsNoSudo) {
  Findings f;
  f.begin("System");
  f.note("a", "", "sudo mkdir -p /dev/shm && sudo mount -t tmpfs tmpfs /dev/shm");
  f.note("b", "", "echo 1 | sudo tee /x");
  f.without_sudo();
  EXPECT_EQ(f.all()[0].remedy, "mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm");
  EXPECT_EQ(f.all()[1].remedy, "echo 1 | tee /x");
}

}  // namespace
}  // namespace tw
