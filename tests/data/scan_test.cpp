#include "src/data/scan.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "src/core/error.h"
#include "src/core/file.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using namespace std::string_literals;
using testing::HasSubstr;

class Scan : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& content) { folder_.write("docs/" + name, content); }
  fs::path docs() const { return folder_ / "docs"; }
  static const ScannedFile& find(const Inventory& inventory, const std::string& path) {
    for (const ScannedFile& f : inventory.files)
      if (f.path == path) return f;
    static const ScannedFile none;
    ADD_FAILURE() << path << " is not listed";
    return none;
  }
  ScratchFolder folder_;
};

TEST_F(Scan, SaysOfEachFileWhatItIs) {
  write("LICENSE", "\n  MIT License\nCopyright …");
  write("a.txt", "Text\n");
  write("b.md", "# Titel\n");
  write("c.HTML", "<p>Gr\xF6\xDF" "e</p>");
  write("deep/er/LICENCE.txt", "CC0 1.0 Universal");
  write("deep/er/d.txt", "x y z");
  write("copy.txt", "Text\n");
  write("empty.txt", "");
  write("blank.txt", " \n\t\n");
  write("picture.txt", "PNG\0\1\2"s);
  write("photo.png", "PNG\0\1\2"s);
  write("no_kind", "text");
  write(".hidden.txt", "hidden");
  write(".git/config.txt", "hidden");
  write("greek.html", "<meta charset=iso-8859-7><p>\xE1\xE2\xE3");
  write("bad\xFF.txt", "name");
  folder_.write("outside.txt", "outside");
  write("run/out.txt", "output of the run itself");
  fs::create_symlink("a.txt", docs() / "link.txt");
  fs::create_symlink("../outside.txt", docs() / "link out.txt");
  fs::create_symlink("nowhere", docs() / "link nowhere.txt");
  fs::create_symlink("link circle.txt", docs() / "link circle.txt");
  fs::create_symlink("deep", docs() / "link folder");
  ASSERT_EQ(::mkfifo((docs() / "pipe.txt").c_str(), 0600), 0);

  ScanOptions options;
  options.leave_out = {docs() / "run"};
  const Inventory inventory = scan(docs(), options);
  std::map<std::string, std::string> states;
  const char* names[] = {"used", "duplicate", "skipped", "broken"};
  for (const ScannedFile& f : inventory.files) states[f.path] = names[size_t(f.state)];
  const std::map<std::string, std::string> expected = {
      {"LICENSE", "skipped"},        {"a.txt", "used"},           {"b.md", "used"},          {"bad\uFFFD.txt", "broken"},
      {"blank.txt", "broken"},       {"c.HTML", "used"},          {"copy.txt", "duplicate"}, {"deep/er/LICENCE.txt", "skipped"},
      {"deep/er/d.txt", "used"},     {"empty.txt", "broken"},     {"greek.html", "broken"},  {"link circle.txt", "skipped"},
      {"link folder", "skipped"},    {"link nowhere.txt", "skipped"}, {"link out.txt", "skipped"}, {"link.txt", "duplicate"},
      {"no_kind", "skipped"},        {"photo.png", "skipped"},    {"picture.txt", "broken"}, {"pipe.txt", "skipped"}};
  EXPECT_EQ(states, expected);
  EXPECT_TRUE(std::is_sorted(inventory.files.begin(), inventory.files.end(),
                             [](const auto& a, const auto& b) { return a.path < b.path; }));

  const ScannedFile& page = find(inventory, "c.HTML");
  EXPECT_EQ(page.kind, "html");
  EXPECT_EQ(page.encoding, "Latin-1");
  EXPECT_EQ(page.text_bytes, int64_t("Größe\n"s.size()));
  EXPECT_EQ(page.licence, "LICENSE: MIT License");
  EXPECT_EQ(find(inventory, "deep/er/d.txt").licence, "deep/er/LICENCE.txt: CC0 1.0 Universal");
  EXPECT_THAT(find(inventory, "copy.txt").reason, HasSubstr("a.txt"));
  EXPECT_THAT(find(inventory, "greek.html").reason, HasSubstr("iso-8859-7"));
  EXPECT_THAT(find(inventory, "picture.txt").reason, HasSubstr("NUL"));
  EXPECT_THAT(find(inventory, "link out.txt").reason, HasSubstr("leaves the folder"));
  for (const ScannedFile& f : inventory.files) EXPECT_EQ(f.state == FileState::used, f.reason.empty()) << f.path;
  EXPECT_EQ(inventory.sum(FileState::used).files, 4);
  EXPECT_EQ(inventory.sum(Split::train).files + inventory.sum(Split::val).files + inventory.sum(Split::test).files, 4);
  const std::string table = inventory.table();
  for (const char* part : {"html", "markdown", "train", "blank.txt", "Latin-1"}) EXPECT_THAT(table, HasSubstr(part));
}

TEST_F(Scan, TheResultDoesNotDependOnThreads) {
  for (int i = 0; i < 60; ++i) write(std::to_string(i % 7) + "/" + std::to_string(i) + ".txt", "text " + std::to_string(i / 2));
  Inventory one = scan(docs()), four = scan(docs(), {.threads = 4});
  one.scanned_at = four.scanned_at = 0;
  write_inventory(one, folder_ / "one.json");
  write_inventory(four, folder_ / "four.json");
  EXPECT_EQ(read_file(folder_ / "one.json"), read_file(folder_ / "four.json"));
  EXPECT_EQ(one.sum(FileState::duplicate).files, 30);
}

TEST_F(Scan, EqualContentIsInTheSameSplitWhateverElseIsThere) {
  for (int i = 0; i < 300; ++i) write(std::to_string(i) + ".txt", "text " + std::to_string(i));
  const Inventory before = scan(docs());
  std::map<std::string, Split> splits;
  for (const ScannedFile& f : before.files) splits[f.sha256] = f.split;
  EXPECT_NEAR(double(before.sum(Split::train).files), 270, 25);
  EXPECT_GT(before.sum(Split::val).files, 3);
  EXPECT_GT(before.sum(Split::test).files, 3);
  for (int i = 0; i < 300; i += 3) fs::rename(docs() / (std::to_string(i) + ".txt"), docs() / ("moved" + std::to_string(i) + ".txt"));
  for (int i = 300; i < 400; ++i) write(std::to_string(i) + ".txt", "text " + std::to_string(i));
  int known = 0;
  for (const ScannedFile& f : scan(docs()).files) {
    const auto old = splits.find(f.sha256);
    if (old == splits.end()) continue;
    EXPECT_EQ(old->second, f.split) << f.path;
    ++known;
  }
  EXPECT_EQ(known, 300);
}

TEST_F(Scan, InASmallFolderNoSplitWithAShareIsEmpty) {
  for (int set = 0; set < 30; ++set) {
    fs::remove_all(docs());
    const int files = 3 + set % 4;
    for (int i = 0; i < files; ++i) write(std::to_string(i) + ".txt", "set " + std::to_string(set) + " text " + std::to_string(i));
    const Inventory inventory = scan(docs());
    for (const Split split : kSplits) EXPECT_GE(inventory.sum(split).files, 1) << name_of(split) << " of set " << set;
    const Inventory without = scan(docs(), {.shares = {0.5, 0.5, 0}});
    EXPECT_EQ(without.sum(Split::test).files, 0);
    EXPECT_GE(without.sum(Split::val).files, 1);
  }
  fs::remove_all(docs());
  write("a.txt", "a"), write("b.txt", "b");
  const Inventory two = scan(docs());
  EXPECT_EQ(two.sum(Split::train).files, 2);
  ASSERT_EQ(two.notes.size(), 1u);
  EXPECT_THAT(two.notes[0], HasSubstr("2 usable files"));
}

TEST_F(Scan, FilesThatDidNotChangeAreNotReadAgain) {
  write("a.txt", "first"), write("b.txt", "second"), write("c.txt", "third"), write("e.txt", " ");
  const Inventory before = scan(docs());
  int64_t read = 0;
  const auto again = [&](const Inventory* previous) {
    read = 0;
    ScanOptions options;
    options.progress = [&](const ScanProgress& p) {
      read = p.files;
      EXPECT_LE(p.bytes, p.total_bytes);
    };
    return scan(docs(), options, previous);
  };
  EXPECT_EQ(again(&before).fingerprint(), before.fingerprint());
  EXPECT_EQ(read, 0);
  write("b.txt", "SECOND!");
  const Inventory after = again(&before);
  EXPECT_EQ(read, 1);
  EXPECT_NE(after.fingerprint(), before.fingerprint());
  EXPECT_NE(find(after, "b.txt").sha256, find(before, "b.txt").sha256);
  EXPECT_EQ(find(after, "a.txt").sha256, find(before, "a.txt").sha256);
  EXPECT_THAT(find(after, "e.txt").reason, HasSubstr("no text"));
  // Equal size, another time: read again.
  write("a.txt", "FIRST");
  fs::last_write_time(docs() / "a.txt", fs::last_write_time(docs() / "a.txt") + std::chrono::seconds(2));
  EXPECT_NE(find(again(&after), "a.txt").sha256, find(after, "a.txt").sha256);
  EXPECT_EQ(read, 1);
  Inventory elsewhere = after;
  elsewhere.folder = "/elsewhere";
  again(&elsewhere);
  EXPECT_EQ(read, 4);
}

TEST_F(Scan, SaysWhyItCannot) {
  const auto code = [&](const fs::path& path, const SplitShares& shares, const char* word) {
    try {
      scan(path, {.shares = shares});
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr(word));
      return e.code();
    }
    return ExitCode::ok;
  };
  EXPECT_EQ(code(folder_ / "absent", {}, "absent"), ExitCode::no_input);
  make_folders(docs());
  EXPECT_EQ(code(docs(), {}, "no usable text"), ExitCode::data);
  write("photo.png", "x"), write("empty.txt", "");
  EXPECT_EQ(code(docs(), {}, "empty.txt: empty"), ExitCode::data);
  write("a.txt", "text");
  EXPECT_EQ(code(docs() / "a.txt", {}, "a.txt"), ExitCode::no_input);
  EXPECT_EQ(code(docs(), {0.5, 0.2, 0.2}, "sum"), ExitCode::config);
  EXPECT_EQ(parse_split("0.8, 0.1,0.1"), (SplitShares{0.8, 0.1, 0.1}));
  for (const char* text : {"", "1", "0.9,0.1", "0.9,0.05,0.06", "0.9,0.05,0.05,0", "a,b,c", "2,-1,0", "nan,0,0", "0.9;0.05;0.05"})
    EXPECT_THROW(parse_split(text), Error) << text;
}

TEST_F(Scan, APersonWhoStopsItIsHeard) {
  for (int i = 0; i < 20; ++i) write(std::to_string(i) + ".txt", "text");
  ScanOptions options{.threads = 3};
  int calls = 0;
  options.progress = [&](const ScanProgress&) {
    ++calls;
    throw Error(ExitCode::requeue, "stop");
  };
  EXPECT_THROW(scan(docs(), options), Error);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace tw
