#include "src/core/file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>

#include "src/core/error.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  void expect(ExitCode code, const fs::path& named, const std::function<void()>& call) {
    try {
      call();
      ADD_FAILURE() << "no error about " << named;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      EXPECT_NE(std::string(e.what()).find(named.string()), std::string::npos) << e.what();
    }
  }
  size_t entries() const { return size_t(std::distance(fs::directory_iterator(folder_), fs::directory_iterator())); }

  fs::path folder_ = fs::temp_directory_path() / ("tw-file-" + std::to_string(::getpid()));
  fs::path a_ = folder_ / "a";
};

TEST_F(Files, AtomicWriteReplacesTheWholeFile) {
  write_file_atomically(a_, std::string(100000, 'x'));
  write_file_atomically(a_, "short");
  EXPECT_EQ(read_file(a_), "short");
  write_file_atomically(a_, std::string("\0\n\xff", 3));
  EXPECT_EQ(read_file(a_), std::string("\0\n\xff", 3));
  write_file_atomically(a_, "");
  EXPECT_EQ(read_file(a_), "");
  EXPECT_EQ(entries(), 1u);  // no temporary file is left
}

TEST_F(Files, AFailedAtomicWriteLeavesNothingBehind) {
  fs::create_directories(a_ / "inside");  // a folder cannot be renamed over
  expect(ExitCode::io, a_, [&] { write_file_atomically(a_, "text"); });
  EXPECT_EQ(entries(), 1u);
  expect(ExitCode::cannot_create, folder_ / "none/b", [&] { write_file_atomically(folder_ / "none/b", "text"); });
}

TEST_F(Files, ReadersKeepTheOldFile) {
  write_file_atomically(a_, "old");
  const FileDescriptor fd = open_to_read(a_);
  write_file_atomically(a_, "new");
  char text[3];
  read_exactly(fd.get(), text, 3, 0, a_);
  EXPECT_EQ(std::string(text, 3), "old");
}

TEST_F(Files, ShortReadsAreDamageAndNameTheByte) {
  write_file_atomically(a_, "0123456789");
  const FileDescriptor fd = open_to_read(a_);
  char text[16] = {};
  read_exactly(fd.get(), text, 4, 6, a_);
  EXPECT_STREQ(text, "6789");
  expect(ExitCode::data, a_, [&] { read_exactly(fd.get(), text, 5, 6, a_); });
  expect(ExitCode::data, "ends at byte 10", [&] { read_exactly(fd.get(), text, 5, 6, a_); });
  expect(ExitCode::io, a_, [&] { write_exactly(fd.get(), text, 1, 0, a_); });  // opened for reading
  expect(ExitCode::io, a_, [&] { read_exactly(-1, text, 1, 0, a_); });
  EXPECT_EQ(tw::file_size(a_), 10);
}

TEST_F(Files, WritesGoToTheirPlace) {
  const FileDescriptor fd = open_to_write(a_);
  write_exactly(fd.get(), "cd", 2, 2, a_);
  write_exactly(fd.get(), "ab", 2, 0, a_);
  EXPECT_EQ(read_file(a_), "abcd");
}

TEST_F(Files, WhatCannotBeReadIsNamed) {
  expect(ExitCode::no_input, a_, [&] { open_to_read(a_); });
  expect(ExitCode::no_input, a_, [&] { read_file(a_); });
  expect(ExitCode::no_input, a_, [&] { tw::file_size(a_); });
  expect(ExitCode::no_input, a_, [&] { MappedFile m(a_); });
  expect(ExitCode::no_input, folder_, [&] { read_file(folder_); });
  expect(ExitCode::no_input, folder_, [&] { MappedFile m(folder_); });
  expect(ExitCode::io, a_, [&] { fsync_path(a_); });
}

TEST_F(Files, ALimitHoldsForFilesOfAnyKind) {
  write_file_atomically(a_, std::string(1000, 'x'));
  EXPECT_EQ(read_file(a_, 1000).size(), 1000u);
  expect(ExitCode::data, a_, [&] { read_file(a_, 999); });
  expect(ExitCode::data, "/dev/zero", [&] { read_file("/dev/zero", 1 << 20); });  // has no size and no end
  EXPECT_FALSE(read_file("/proc/self/status").empty());                           // has no size but an end
}

TEST_F(Files, MappedFilesMoveAndMayBeEmpty) {
  write_file_atomically(a_, "mapped");
  MappedFile m(a_), other;
  EXPECT_EQ(m.text(), "mapped");
  other = std::move(m);
  fs::remove(a_);  // the mapping keeps the bytes
  EXPECT_EQ(other.text(), "mapped");
  MappedFile third(std::move(other));
  EXPECT_EQ(third.text(), "mapped");
  write_file_atomically(a_, "");
  EXPECT_EQ(MappedFile(a_).size(), 0u);
}

TEST_F(Files, FoldersAreMadeUnlessAFileIsInTheWay) {
  make_folders(folder_ / "b/c");
  make_folders(folder_ / "b/c");
  EXPECT_TRUE(fs::is_directory(folder_ / "b/c"));
  write_file_atomically(a_, "x");
  expect(ExitCode::cannot_create, a_, [&] { make_folders(a_); });
  expect(ExitCode::cannot_create, a_ / "d", [&] { make_folders(a_ / "d"); });
  fsync_path(folder_);
}

}  // namespace
}  // namespace tw
