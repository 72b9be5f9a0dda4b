// Token files written and read; damaged in every way that a disk or a person can.
#include "src/data/token_file.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <ctime>

#include "src/core/error.h"
#include "src/core/file.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

Document document(const std::string& path, int64_t bytes) {
  Document d;
  d.path = path, d.bytes = bytes, d.licence = "LICENSE: MIT Lizenz für alle";
  d.sha256 = std::string(62, 'a') + "0f";
  return d;
}

ExitCode code_of(const auto& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.code();
  }
  return ExitCode::ok;
}

class TokenFiles : public testing::TestWithParam<int64_t> {
 protected:
  // Three documents; one comes in parts and one is empty but for its end.
  void write(const fs::path& path, int64_t vocab) const {
    TokenFileWriter writer(path, vocab, "hash of a tokenizer", 3);
    writer.add(document("a.txt", 12), {0, 1, 2, int32_t(vocab - 1)});
    writer.append({5, 6});
    writer.append({7});
    writer.end_document(document("b/ä.html", 9));
    writer.add(document("c.md", 1), {3});
    EXPECT_EQ(writer.tokens(), 8);
    writer.finish();
  }
  ScratchFolder folder_;
};

TEST_P(TokenFiles, GiveBackTokensAndWhereTheyComeFrom) {
  const int64_t vocab = GetParam();
  write(folder_ / "t.h5", vocab);
  const auto file = TokenFile::open(folder_ / "t.h5", 0, true);
  EXPECT_EQ(file->bits(), vocab <= 65536 ? 16 : 32);
  EXPECT_EQ(file->vocab_size(), vocab);
  EXPECT_EQ(file->source_bytes(), 22);
  EXPECT_EQ(file->eod(), 3);
  EXPECT_EQ(file->tokenizer_hash(), "hash of a tokenizer");
  EXPECT_EQ(file->checksum().size(), 16u);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < file->size(); ++i) ids.push_back((*file)[i]);
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 1, 2, int32_t(vocab - 1), 5, 6, 7, 3}));
  ASSERT_EQ(file->documents().size(), 3u);
  const Document& b = file->documents()[1];
  EXPECT_EQ(b.path, "b/ä.html");
  EXPECT_EQ(b.first_token, 4);
  EXPECT_EQ(b.tokens, 3);
  EXPECT_EQ(b.bytes, 9);
  EXPECT_EQ(b.sha256, std::string(62, 'a') + "0f");
  EXPECT_EQ(b.licence, "LICENSE: MIT Lizenz für alle");
  for (const int64_t token : {4, 6}) EXPECT_EQ(file->document_of(token).path, "b/ä.html");
  EXPECT_EQ(file->document_of(7).path, "c.md");
  EXPECT_EQ(code_of([&] { file->document_of(8); }), ExitCode::bug);
}

TEST_P(TokenFiles, CutOffAnywhereAreRefused) {
  write(folder_ / "t.h5", GetParam());
  const std::string whole = read_file(folder_ / "t.h5");
  for (size_t n = 0; n < whole.size(); n += 1 + whole.size() / 97) {
    fs::remove(folder_ / "cut.h5");  // written over, it would go to the disk each time
    folder_.write("cut.h5", whole.substr(0, n));
    EXPECT_EQ(code_of([&] { TokenFile::open(folder_ / "cut.h5", 0, true); }), ExitCode::data) << n << " of " << whole.size();
  }
}

TEST_P(TokenFiles, NoChangedByteOfTokensOrIndexGoesUnseen) {
  write(folder_ / "t.h5", GetParam());
  const std::string whole = read_file(folder_ / "t.h5");
  // HDF5's own unused bytes may change: then the content must be what it was.
  const auto good = TokenFile::open(folder_ / "t.h5", 0, true);
  int refused = 0;
  for (size_t at = 0; at < whole.size(); at += 5) {
    std::string changed = whole;
    changed[at] = char(changed[at] ^ (at % 2 ? 0x01 : 0xFF));
    fs::remove(folder_ / "changed.h5");
    folder_.write("changed.h5", changed);
    try {
      const auto file = TokenFile::open(folder_ / "changed.h5", 0, true);
      ASSERT_EQ(file->size(), good->size()) << at;
      for (int64_t i = 0; i < file->size(); ++i) ASSERT_EQ((*file)[i], (*good)[i]) << at;
      for (size_t d = 0; d < 3; ++d) {
        ASSERT_EQ(file->documents()[d].path, good->documents()[d].path) << at;
        ASSERT_EQ(file->documents()[d].sha256, good->documents()[d].sha256) << at;
        ASSERT_EQ(file->documents()[d].first_token, good->documents()[d].first_token) << at;
      }
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), ExitCode::data) << at << ": " << e.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
}

INSTANTIATE_TEST_SUITE_P(Widths, TokenFiles, testing::Values(300, 65536, 65537));

TEST(TokenFile, AFileOfAnotherKindIsRefusedByName) {
  const ScratchFolder folder;
  for (const std::string& content : {std::string(), std::string("text\n"), std::string(5000, '\0')}) {
    folder.write("x.h5", content);
    try {
      TokenFile::open(folder / "x.h5");
      ADD_FAILURE() << content.size();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
      EXPECT_THAT(e.what(), HasSubstr("x.h5"));
    }
  }
  EXPECT_EQ(code_of([&] { TokenFile::open(folder / "absent.h5"); }), ExitCode::no_input);
}

TEST(TokenFile, AWriterThatDidNotFinishLeavesNothing) {
  const ScratchFolder folder;
  {
    TokenFileWriter writer(folder / "t.h5", 10, "h");
    writer.add(document("a", 1), {1, 2, 3});
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
  EXPECT_EQ(code_of([&] { TokenFileWriter(folder / "t.h5", 10, "h", 10); }), ExitCode::bug) << "no such token";
  TokenFileWriter empty(folder / "t.h5", 10, "h");
  EXPECT_EQ(code_of([&] { empty.finish(); }), ExitCode::data);
  TokenFileWriter writer(folder / "t.h5", 10, "h");
  EXPECT_EQ(code_of([&] { writer.append({1, 10}); }), ExitCode::bug);
  EXPECT_EQ(code_of([&] { writer.append({1}); }), ExitCode::bug) << "after a failure it takes no more";
  EXPECT_FALSE(fs::exists(folder / "t.h5"));
  EXPECT_EQ(code_of([&] { TokenFileWriter(folder / "no/such/t.h5", 10, "h"); }), ExitCode::cannot_create);
}

// HDF5 would keep times, in seconds.
TEST(TokenFile, EqualContentIsEqualBytes) {
  const ScratchFolder folder;
  for (const char* name : {"a.h5", "b.h5"}) {
    TokenFileWriter writer(folder / name, 10, "h", 9);
    writer.add(document("a", 1), {1, 2, 9});
    writer.finish();
    const time_t made = ::time(nullptr);
    while (name[0] == 'a' && ::time(nullptr) == made) ::usleep(10000);
  }
  EXPECT_EQ(read_file(folder / "a.h5"), read_file(folder / "b.h5"));
}

TEST(TokenFile, RawFilesAreTakenAsTheyAre) {
  const ScratchFolder folder;
  folder.write("a.u16", std::string("\x01\x02\xFF\xFF", 4));
  folder.write("a.u32", std::string("\x01\x02\0\0\xFF\xFF\x01\0", 8));
  const auto narrow = TokenFile::open(folder / "a.u16"), wide = TokenFile::open(folder / "a.u32");
  EXPECT_EQ(narrow->bits(), 16);
  ASSERT_EQ(narrow->size(), 2);
  EXPECT_EQ((*narrow)[0], 0x201);
  EXPECT_EQ((*narrow)[1], 0xFFFF);
  ASSERT_EQ(wide->size(), 2);
  EXPECT_EQ((*wide)[1], 0x1FFFF);
  EXPECT_EQ(wide->vocab_size(), 0);
  EXPECT_EQ(wide->eod(), -1);
  ASSERT_EQ(wide->documents().size(), 1u);
  EXPECT_EQ(wide->documents()[0].tokens, 2);
  EXPECT_NE(narrow->checksum(), wide->checksum());
  folder.write("odd.u16", "abc");
  folder.write("empty.u16", "");
  for (const char* name : {"odd.u16", "empty.u16"})
    EXPECT_EQ(code_of([&] { TokenFile::open(folder / name); }), ExitCode::data) << name;
  folder.write("named.bin", "abcd");
  EXPECT_EQ(TokenFile::open(folder / "named.bin", 32)->size(), 1);
}

}  // namespace
}  // namespace tw
