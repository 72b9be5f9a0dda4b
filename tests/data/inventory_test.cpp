// inventory.json: written, read back, and read from people who mean harm.
#include <gmock/gmock.h>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/data/scan.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {
using testing::HasSubstr;

class InventoryFile : public testing::Test {
 protected:
  InventoryFile() {
    folder_.write("docs/a.txt", "Text of a@b.example.org\n");
    folder_.write("docs/b \"q\"\n.md", "# Größe\n");
    folder_.write("docs/c.html", "<p>page");
    folder_.write("docs/d.png", "x");
    folder_.write("docs/COPYING", "GPL \xFF version 3");
    inventory_ = scan(folder_ / "docs");
    write_inventory(inventory_, path_);
    text_ = read_file(path_);
  }
  std::string with(const std::string& from, const std::string& to) const {
    std::string changed = text_;
    const size_t at = changed.find(from);
    EXPECT_NE(at, changed.npos) << from;
    return changed.replace(at, from.size(), to);
  }
  void refused(const std::string& content, const char* word) const {
    folder_.write("bad.json", content);
    try {
      read_inventory(folder_ / "bad.json");
      ADD_FAILURE() << word << " was read";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
      EXPECT_THAT(e.what(), HasSubstr("bad.json"));
      EXPECT_THAT(e.what(), HasSubstr(word));
    }
  }
  ScratchFolder folder_;
  std::filesystem::path path_ = folder_ / "inventory.json";
  Inventory inventory_;
  std::string text_;
};

TEST_F(InventoryFile, ComesBackAsItWas) {
  const Inventory read = read_inventory(path_);
  EXPECT_EQ(read.folder, inventory_.folder);
  EXPECT_EQ(read.shares, inventory_.shares);
  EXPECT_EQ(read.scanned_at, inventory_.scanned_at);
  EXPECT_EQ(read.notes, inventory_.notes);
  EXPECT_EQ(read.fingerprint(), inventory_.fingerprint());
  ASSERT_EQ(read.files.size(), 5u);
  for (size_t i = 0; i < read.files.size(); ++i) {
    const ScannedFile &a = read.files[i], &b = inventory_.files[i];
    EXPECT_EQ(std::tie(a.path, a.state, a.reason, a.kind, a.bytes, a.mtime_ns, a.sha256, a.encoding, a.text_bytes, a.licence, a.split),
              std::tie(b.path, b.state, b.reason, b.kind, b.bytes, b.mtime_ns, b.sha256, b.encoding, b.text_bytes, b.licence, b.split));
    EXPECT_EQ(std::tie(a.source, a.language, a.duplicate_of, a.note, a.findings),
              std::tie(b.source, b.language, b.duplicate_of, b.note, b.findings));
  }
}

TEST_F(InventoryFile, WhereItIsWrongTheFieldIsNamed) {
  refused("", "not JSON");
  refused("[]", "object");
  refused("null", "object");
  refused("{}", "version");
  refused(with("\"version\": 2", "\"version\": 3"), "version 3");
  refused(with("\"folder\"", "\"holder\""), "folder");
  refused(with("\"train\":0.9", "\"train\":9"), "shares.train");
  refused(with("\"train\":0.9", "\"train\":\"x\""), "shares.train");
  refused(with("\"train\":0.9", "\"train\":0.1"), "shares");
  refused(with("\"notes\": [", "\"notes\": [7,"), "notes[0]");
  refused(with("\"files\": [", "\"files\": [7,"), "files");
  refused(with("\"files\"", "\"piles\""), "files");
  refused(with("\"path\":\"a.txt\"", "\"path\":\"../a.txt\""), "files[1].path");
  refused(with("\"path\":\"a.txt\"", "\"path\":\"/etc/passwd\""), "files[1].path");
  refused(with("\"path\":\"a.txt\"", "\"path\":\"a\\u0000.txt\""), "files[1].path");
  refused(with("\"path\":\"a.txt\"", "\"path\":\"\""), "files[1].path");
  refused(with("\"state\":\"used\"", "\"state\":\"fine\""), "files[1].state");
  refused(with("\"bytes\":24", "\"bytes\":-5"), "files[1].bytes");
  refused(with("\"bytes\":24", "\"bytes\":5.5"), "files[1].bytes");
  refused(with("\"bytes\":24", "\"bytes\":99999999999999999999"), "files[1].bytes");
  refused(with("\"encoding\":\"UTF-8\"", "\"encoding\":[]"), "files[1].encoding");
  const std::string sum = inventory_.files[1].sha256;
  refused(with(sum, sum.substr(1)), "files[1].sha256");
  refused(with(sum, ""), "files[1]");
  refused(with(sum, std::string(64, 'g')), "files[1].sha256");
  refused(std::string(100, '[') + std::string(100, ']'), "nested");
  refused("[" + std::string(1000, ',') + "]", "values");
}

TEST_F(InventoryFile, CutOffAnywhereItIsRefused) {
  for (size_t n = 0; n + 2 < text_.size(); n += 13) {
    std::filesystem::remove(folder_ / "bad.json");
    refused(text_.substr(0, n), "bad.json");
  }
}

TEST_F(InventoryFile, TheFingerprintIsOfWhatDecidesTokens) {
  const std::string before = inventory_.fingerprint();
  const auto changed = [&](const auto& change) {
    Inventory other = inventory_;
    change(other);
    return other.fingerprint() != before;
  };
  EXPECT_TRUE(changed([](Inventory& i) { i.files[1].split = Split((int(i.files[1].split) + 1) % 3); }));
  EXPECT_TRUE(changed([](Inventory& i) { i.files[1].sha256[0] ^= 1; }));
  EXPECT_TRUE(changed([](Inventory& i) { i.files[1].path = "z.txt"; }));
  EXPECT_TRUE(changed([](Inventory& i) { i.files.erase(i.files.begin() + 1); }));
  EXPECT_FALSE(changed([](Inventory& i) { i.files[1].mtime_ns += 1, i.scanned_at += 1, i.folder = "/x"; }));
  EXPECT_FALSE(changed([](Inventory& i) { i.files.pop_back(); })) << "a file that is not used";
}

TEST_F(InventoryFile, NamesDoNotCommandTheTerminal) {
  folder_.write("docs/x\x1B[2J.txt", "");
  const std::string table = scan(folder_ / "docs").table();
  EXPECT_EQ(table.find('\x1B'), table.npos);
  EXPECT_THAT(table, HasSubstr("x?[2J.txt"));
}

}  // namespace
}  // namespace tw
