#include "src/data/scan.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/data/document_text.h"
#include "src/data/scan_cache.h"
#include "src/data/token_file.h"
#include "tests/hdf5/foreign_files.h"
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
  const char* names[] = {"used", "duplicate", "near duplicate", "filtered", "skipped", "broken"};
  for (const ScannedFile& f : inventory.files) states[f.path] = names[size_t(f.state)];
  const std::map<std::string, std::string> expected = {
      {"LICENSE", "skipped"},        {"a.txt", "used"},           {"b.md", "used"},          {"bad\uFFFD.txt", "broken"},
      {"blank.txt", "broken"},       {"c.HTML", "used"},          {"copy.txt", "duplicate"}, {"deep/er/LICENCE.txt", "skipped"},
      {"deep/er/d.txt", "used"},     {"empty.txt", "broken"},     {"greek.html", "broken"},  {"link circle.txt", "skipped"},
      {"link folder", "skipped"},    {"link nowhere.txt", "skipped"}, {"link out.txt", "skipped"}, {"link.txt", "duplicate"},
      {"no_kind", "skipped"},        {"photo.png", "broken"},    {"picture.txt", "broken"}, {"pipe.txt", "skipped"}};
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

TEST_F(Scan, HDF5OfOthersIsATableAndOursIsNot) {
  write("a.csv", "t,v\n1,2\n2,3\n3,4\n");
  write("cut.h5", "\x89HDF\r\n\x1a\n and no more");
  write("text.hdf5", "t,v\n1,2\n2,3\n3,4\n");
  write("x.parquet", "PAR1");
  write("y.PARQUET", "PAR1");
  h5::write_foreign(docs() / "log.H5", {}, {5, 6, 7, 8});
  {
    TokenFileWriter tokens(docs() / "train.h5", 100, std::string(64, 'a'), -1);
    tokens.append(std::vector<int32_t>{1, 2, 3});
    Document document;
    document.path = "x", document.sha256 = std::string(64, 'b');
    tokens.end_document(document);
    tokens.finish();
  }
  for (int again = 0; again < 2; ++again) {  // what is read once is known
    ScanCache cache(folder_ / "scan.cache", docs());
    const Inventory inventory = scan(docs(), {}, &cache);
    EXPECT_EQ(find(inventory, "log.H5").state, FileState::used);
    EXPECT_EQ(find(inventory, "log.H5").content, "4 rows of 1 columns");
    EXPECT_EQ(find(inventory, "train.h5").state, FileState::skipped);
    EXPECT_EQ(find(inventory, "train.h5").reason, "a token file of Tokenwerk");
    EXPECT_EQ(find(inventory, "cut.h5").state, FileState::broken);
    EXPECT_EQ(find(inventory, "text.hdf5").reason, "no HDF5 file, whatever its name says");
    EXPECT_EQ(find(inventory, "x.parquet").state, FileState::skipped);
    EXPECT_THAT(inventory.table(), HasSubstr("note: x.parquet and 1 more: Parquet is not read: write it as CSV"));
    EXPECT_EQ(inventory.sum(FileState::used).files, 2);
  }
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
  int64_t read = 0;
  const auto again = [&](const fs::path& folder) {
    read = 0;
    ScanOptions options;
    options.progress = [&](const ScanProgress& p) {
      read = p.files;
      EXPECT_LE(p.bytes, p.total_bytes);
    };
    ScanCache cache(folder_ / "scan.cache", folder);
    return scan(docs(), options, &cache);
  };
  const fs::path root = fs::canonical(docs());
  const Inventory before = again(root);
  EXPECT_EQ(read, 4);
  EXPECT_EQ(again(root).fingerprint(), before.fingerprint());
  EXPECT_EQ(read, 0);
  write("b.txt", "SECOND!");
  const Inventory after = again(root);
  EXPECT_EQ(read, 1);
  EXPECT_NE(after.fingerprint(), before.fingerprint());
  EXPECT_NE(find(after, "b.txt").sha256, find(before, "b.txt").sha256);
  EXPECT_EQ(find(after, "a.txt").sha256, find(before, "a.txt").sha256);
  EXPECT_THAT(find(after, "e.txt").reason, HasSubstr("no text"));
  // Equal size, another time: read again.
  write("a.txt", "FIRST");
  fs::last_write_time(docs() / "a.txt", fs::last_write_time(docs() / "a.txt") + std::chrono::seconds(2));
  EXPECT_NE(find(again(root), "a.txt").sha256, find(after, "a.txt").sha256);
  EXPECT_EQ(read, 1);
  again("/elsewhere");
  EXPECT_EQ(read, 4) << "what is known of another folder is not taken";
}

TEST_F(Scan, WhatWasReadBeforeItWasStoppedIsKept) {
  for (int i = 0; i < 40; ++i) write(std::to_string(i) + ".txt", "text number " + std::to_string(i));
  const fs::path path = folder_ / "scan.cache", root = fs::canonical(docs());
  const auto run = [&](int64_t most) {
    int64_t read = 0;
    ScanOptions options;
    options.progress = [&](const ScanProgress& p) {
      read = p.files;
      if (p.files == most) throw Error(ExitCode::requeue, "stop");
    };
    ScanCache cache(path, root);
    try {
      scan(docs(), options, &cache);
    } catch (const Error&) {
    }
    return read;
  };
  EXPECT_EQ(run(15), 15);
  EXPECT_EQ(run(-1), 25);
  EXPECT_EQ(run(-1), 0);
  // Killed while it wrote, and damaged: what stands before is taken.
  EXPECT_EQ(run(-1), 0);
  const std::string whole = read_file(path);
  for (const size_t cut : {whole.size() - 1, whole.size() / 2, size_t(10), size_t(0)}) {
    folder_.write("scan.cache", whole.substr(0, cut));
    EXPECT_GT(run(-1), 0) << cut;
    EXPECT_EQ(run(-1), 0) << cut;
    EXPECT_EQ(read_file(path).size(), whole.size());
  }
  std::string damaged = whole;
  damaged[damaged.size() / 2] ^= 1;
  folder_.write("scan.cache", damaged);
  EXPECT_GE(run(-1), 19);
  EXPECT_EQ(run(-1), 0);
}

TEST_F(Scan, WhatIsOutOfDateLeavesTheCache) {
  const fs::path path = folder_ / "scan.cache", root = docs();
  size_t first = 0;
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 10; ++i) write(std::to_string(i) + ".txt", "number " + std::to_string(i) + std::string(size_t(round), '!'));
    ScanCache cache(path, root);
    scan(docs(), {}, &cache);
    if (round == 0) first = read_file(path).size();
    EXPECT_LE(read_file(path).size(), 3 * first) << round;
  }
  int64_t read = 0;
  ScanOptions options;
  options.progress = [&](const ScanProgress& p) { read = p.files; };
  ScanCache cache(path, root);
  const Inventory inventory = scan(docs(), options, &cache);
  EXPECT_EQ(read, 0);
  EXPECT_EQ(find(inventory, "7.txt").bytes, 13);
}

TEST_F(Scan, NearDuplicatesAreDroppedOnce) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "word" + std::to_string(i * 7919 % 1000) + (i % 12 == 11 ? ".\n" : " ");
  write("a.txt", text);
  write("b.md", "# Copy\n\n" + text + "\nOne sentence more than there was before.\n");
  write("c.txt", text.substr(text.size() / 2) + " and something quite different " + text.substr(0, 300));
  write("d.txt", text);
  const Inventory off = scan(docs());
  EXPECT_EQ(off.sum(FileState::near_duplicate).files, 0);
  const Inventory on = scan(docs(), {.near_duplicates = 0.8});
  EXPECT_EQ(find(on, "b.md").state, FileState::near_duplicate);
  EXPECT_EQ(find(on, "b.md").duplicate_of, "a.txt");
  EXPECT_THAT(find(on, "b.md").reason, HasSubstr("% like a.txt"));
  EXPECT_EQ(find(on, "c.txt").state, FileState::used);
  EXPECT_EQ(find(on, "d.txt").state, FileState::duplicate);
  EXPECT_EQ(find(on, "d.txt").duplicate_of, "a.txt");
  EXPECT_THROW(scan(docs(), {.near_duplicates = 0.3}), Error);
}

TEST_F(Scan, SaysLanguageLicenceSourceAndPersonalData) {
  write("de.txt", "Die Pumpe wird nur gestartet, wenn das Ventil geöffnet ist. Fragen Sie vorher den Schichtleiter: schicht@werk.example.de");
  write("fr.md", "---\ntitle: Notice\nsource: https://example.org/notice\n---\nLa pompe ne démarre que si la vanne est ouverte. Demandez au chef d'équipe.");
  write("page.html", "<html><head><link rel=\"canonical\" href=\"https://example.org/p\"></head><body><p>The pump only starts when the valve is open.</p></body></html>");
  write("x.txt", "# SPDX-License-Identifier: MIT\nthe text that follows is English and says nothing");
  write("pkg/copyright", "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nSource: https://example.org/src\n\nFiles: *\nLicense: GPL-2+\n");
  write("pkg/doc.txt", "inside a package with a licence of its own");
  const Inventory inventory = scan(docs());
  EXPECT_EQ(find(inventory, "de.txt").language, "de");
  EXPECT_EQ(find(inventory, "de.txt").findings[size_t(PersonalKind::email)], 1);
  EXPECT_EQ(find(inventory, "fr.md").language, "fr");
  EXPECT_EQ(find(inventory, "fr.md").source, "https://example.org/notice");
  EXPECT_EQ(find(inventory, "page.html").source, "https://example.org/p");
  EXPECT_EQ(find(inventory, "x.txt").licence, "SPDX: MIT");
  EXPECT_EQ(find(inventory, "pkg/doc.txt").licence, "pkg/copyright: GPL-2+");
  EXPECT_EQ(find(inventory, "pkg/doc.txt").source, "https://example.org/src");
  const std::string table = inventory.table();
  for (const char* word : {"language", "de ", "fr ", "MIT", "GPL-2+", "email 1 in 1 files"}) EXPECT_THAT(table, HasSubstr(word));
}

TEST_F(Scan, DocumentsOfEveryKindAreReadAgainAsTheyWereScanned) {
  const fs::path documents = TW_DOCUMENTS;
  fs::create_directories(docs());
  for (const char* name : {"python-docx.docx", "odfpy.odt"}) fs::copy_file(documents / name, docs() / name);
  write("a.eml", "Subject: x\n\nText of a mail\n");
  write("b.jsonl", "{\"text\": \"one\"}\nno json\n{\"text\": \"two\"}\n");
  write("c.csv", "a,b\n1,2\n");
  write("d.py", "def f():\n    return 1\n");
  const Inventory inventory = scan(docs());
  EXPECT_EQ(inventory.sum(FileState::used).files, 6);
  for (const ScannedFile& f : inventory.files) {
    int64_t bytes = 0;
    int documents_of_file = 1;
    EXPECT_TRUE(read_document(inventory.folder, f, {}, [&](std::string_view piece) { bytes += int64_t(piece.size()); }, [&] { ++documents_of_file; })) << f.path;
    EXPECT_EQ(bytes, f.text_bytes) << f.path;
    EXPECT_EQ(documents_of_file, f.path == "b.jsonl" ? 2 : 1);
  }
  EXPECT_THAT(inventory.table(), HasSubstr("note: b.jsonl: 1 of 3 lines are no JSON, the first is line 2"));
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
  EXPECT_EQ(code(docs(), {}, "nothing usable"), ExitCode::data);
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
