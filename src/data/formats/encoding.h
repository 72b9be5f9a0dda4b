// Which encoding a file of text has, and its text as UTF-8, block by block: memory does not grow with the file.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "src/core/file.h"
#include "src/core/hash.h"

namespace tw {

enum class Encoding { utf8, utf8_bom, utf8_repaired, utf16le, utf16be, latin1 };
const char* name_of(Encoding encoding) noexcept;  // "UTF-8", "UTF-8 with BOM", …
std::optional<Encoding> encoding_of(std::string_view name) noexcept;

// Bytes read at a time; tests take fewer.
inline constexpr size_t kTextBlock = size_t(1) << 20;

using TextSink = std::function<void(std::string_view)>;

// What the bytes of a file are.
struct ByteReport {
  int64_t bytes = 0;
  std::string sha256;
  bool binary = false;     // then reason says why
  std::string reason;
  Encoding encoding = Encoding::utf8;
};
// Reads the file once. A byte order mark decides first (UTF-8, UTF-16). Then, NUL bytes or more than 2 % control
// characters mean a binary file. Then valid UTF-8 is UTF-8; at least ten characters of several bytes for each invalid
// byte is UTF-8 with damage, whose invalid bytes become U+FFFD; all else is Latin-1, read as Windows-1252 like
// browsers do. Error(no_input) where it cannot be read.
ByteReport inspect_bytes(const std::filesystem::path& path, size_t block = kTextBlock);

// The text of a file.
class TextReader {
 public:
  // Error(no_input).
  TextReader(const std::filesystem::path& path, Encoding encoding, size_t block = kTextBlock);
  // The next piece as valid UTF-8, whole characters; false at the end. Error(io).
  bool next(std::string& text);
  Encoding encoding() const noexcept { return encoding_; }
  int64_t bytes() const noexcept { return at_; }  // of the file, read so far
  std::string sha256() { return sum_.hex(); }     // of the file's bytes, after the end; once

 private:
  std::filesystem::path path_;
  Encoding encoding_;
  FileDescriptor fd_;
  size_t block_;
  Sha256 sum_;
  int64_t at_ = 0;
  bool end_ = false;
  std::string raw_;  // bytes not yet decoded
};

uint32_t windows_1252(unsigned char byte) noexcept;  // the character of a byte

}  // namespace tw
