#include "src/data/formats/encoding.h"

#include <gmock/gmock.h>

#include "src/core/error.h"
#include "src/core/utf8.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {
using namespace std::string_literals;
using testing::HasSubstr;

struct Case {
  const char* what;
  std::string bytes;
  Encoding encoding;
  std::string text;
};

class Encodings : public testing::Test {
 protected:
  ByteReport inspect(const std::string& bytes) {
    folder_.write("f", bytes);
    return inspect_bytes(folder_ / "f");
  }
  std::string read(Encoding encoding) {
    FileBytes file(folder_ / "f");
    TextReader reader(file, encoding);
    std::string all, piece;
    while (reader.next(piece)) {
      EXPECT_TRUE(is_utf8(piece)) << "whole characters";
      all += piece;
    }
    return all;
  }
  ScratchFolder folder_;
};

TEST_F(Encodings, AreToldApartAndReadAsUtf8) {
  const std::string damaged = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich; äöü ÄÖÜ ß. ";
  const Case cases[] = {
      {"ASCII", "plain\n", Encoding::utf8, "plain\n"},
      {"UTF-8", "Größe – 𝄞\n", Encoding::utf8, "Größe – 𝄞\n"},
      {"UTF-8 with mark", "\xEF\xBB\xBFGröße", Encoding::utf8_bom, "Größe"},
      {"Latin-1", "Gr\xF6\xDF" "e \x80 \x93x\x94", Encoding::latin1, "Größe € “x”"},
      {"UTF-16LE", "\xFF\xFEG\0\xF6\0\x34\xD8\x1E\xDD"s, Encoding::utf16le, "Gö𝄞"},
      {"UTF-16BE", "\xFE\xFF\0G\0\xF6\xD8\x34\xDD\x1E"s, Encoding::utf16be, "Gö𝄞"},
      {"UTF-16 cut in a pair and in a unit", "\xFF\xFEG\0\x34\xD8\x1E"s, Encoding::utf16le, "G\uFFFD\uFFFD"},
      {"UTF-8 with a damaged byte", damaged + "\xF0 end", Encoding::utf8_repaired, damaged + "\uFFFD end"},
      {"UTF-8 cut at its end", damaged + "\xC3", Encoding::utf8_repaired, damaged + "\uFFFD"},
  };
  for (const Case& c : cases) {
    const ByteReport report = inspect(c.bytes);
    EXPECT_FALSE(report.binary) << c.what << ": " << report.reason;
    EXPECT_EQ(name_of(report.encoding), std::string(name_of(c.encoding))) << c.what;
    EXPECT_EQ(report.bytes, int64_t(c.bytes.size())) << c.what;
    EXPECT_EQ(read(report.encoding), c.text) << c.what;
    EXPECT_EQ(encoding_of(name_of(c.encoding)), c.encoding);
  }
}

TEST_F(Encodings, ACharacterMayLieAcrossBlocks) {
  // Blocks are of 1 MiB: whatever the block holds last, a character of three bytes is cut somewhere.
  for (const size_t shift : {0, 1, 2}) {
    std::string text(shift, 'a');
    while (text.size() < (size_t(2) << 20) + 50) text += "€";
    const ByteReport report = inspect(text);
    ASSERT_EQ(report.encoding, Encoding::utf8) << shift;
    EXPECT_EQ(read(report.encoding), text) << shift;
  }
}

TEST_F(Encodings, WhatIsNoTextIsNamed) {
  EXPECT_THAT(inspect("abc\0def"s).reason, HasSubstr("NUL byte at position 3"));
  EXPECT_THAT(inspect(std::string(100, 'a') + "\x01\x02\x03").reason, HasSubstr("3 control characters"));
  EXPECT_THAT(inspect("G\0r\0\xF6\0\xDF\0e\0"s).reason, HasSubstr("UTF-16 without"));
  EXPECT_THAT(inspect("\0G\0r\0\xF6\0\xDF\0e"s).reason, HasSubstr("UTF-16 without"));
  EXPECT_THAT(inspect("\xFF\xFE\0\0G\0\0\0"s).reason, HasSubstr("UTF-32"));
  EXPECT_TRUE(inspect("G\0"s).binary);
}

TEST_F(Encodings, TheSumIsThatOfTheBytes) {
  const ByteReport report = inspect("abc");  // FIPS 180-4, example
  EXPECT_EQ(report.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  FileBytes file(folder_ / "f");
  TextReader reader(file, Encoding::utf8);
  std::string piece;
  while (reader.next(piece)) {
  }
  EXPECT_EQ(file.sha256(), report.sha256);
  EXPECT_EQ(file.bytes(), 3);
}

TEST_F(Encodings, OnlyRegularFilesAreOpened) {
  for (const std::filesystem::path& path : {folder_ / "absent", folder_.path(), std::filesystem::path("/dev/zero")}) {
    try {
      inspect_bytes(path);
      ADD_FAILURE() << path;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::no_input);
    }
  }
}

}  // namespace
}  // namespace tw
