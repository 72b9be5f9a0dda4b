#include "src/data/file_watch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "src/core/error.h"
#include "src/core/file.h"

namespace tw {
namespace {

namespace fs = std::filesystem;

class WatchedFile : public testing::Test {
 protected:
  WatchedFile() : path_(fs::temp_directory_path() / ("tw-watch-" + std::to_string(getpid()) + ".u16")) { write(std::string(64 << 10, '\1')); }
  ~WatchedFile() override { fs::remove(path_); }
  void write(const std::string& bytes) const { write_file_atomically(path_, bytes); }
  void expect_refused(const FileWatch& watch, const std::string& text) const {
    try {
      watch.check();
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
      EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
    }
  }
  const fs::path path_;
};

TEST_F(WatchedFile, ChangesAreNamed) {
  const auto file = TokenFile::open(path_, 16);
  const FileWatch watch({file});
  watch.check();
  fs::last_write_time(path_, fs::last_write_time(path_) + std::chrono::seconds(3));
  watch.check();  // touched, but the same
  {
    std::fstream in_place(path_, std::ios::in | std::ios::out | std::ios::binary);
    in_place.seekp(1001);
    in_place.put('\2');
  }
  fs::last_write_time(path_, fs::last_write_time(path_) + std::chrono::seconds(5));
  expect_refused(watch, "is damaged: the checksum of its tokens");
  fs::resize_file(path_, 40000);
  expect_refused(watch, "of 65536 bytes, byte 40000 and what follows are gone");
}

TEST_F(WatchedFile, AReplacedOrRemovedFileIsStillThere) {
  const auto file = TokenFile::open(path_, 16);
  const FileWatch watch({file});
  write(std::string(10, '\3'));
  watch.check();
  fs::remove(path_);
  watch.check();
  EXPECT_EQ((*file)[32767], 0x0101);
}

TEST_F(WatchedFile, AReadBeyondTheCutEndsWithFileAndByte) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto read = [&] {
    const auto file = TokenFile::open(path_, 16);
    const FileWatch watch({file});
    fs::resize_file(path_, 4096);
    volatile int32_t last = (*file)[file->size() - 1];
    ::_exit(last == 0 ? 1 : 2);
  };
  EXPECT_EXIT(read(), testing::ExitedWithCode(65), "u16 was cut off while it was in use: byte 65534 cannot be read");
}

}  // namespace
}  // namespace tw
