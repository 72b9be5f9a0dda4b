// Which encoding a file of text has, and its text as UTF-8, block by block: memory does not grow with the file.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "src/data/formats/byte_reader.h"

namespace tw {

enum class Encoding { utf8, utf8_bom, utf8_repaired, utf16le, utf16be, latin1 };
const char* name_of(Encoding encoding) noexcept;  // "UTF-8", "UTF-8 with BOM", …
std::optional<Encoding> encoding_of(std::string_view name) noexcept;

// Bytes read at a time; tests take fewer.
inline constexpr size_t kTextBlock = size_t(1) << 20;

// What bytes are.
struct ByteReport {
  int64_t bytes = 0;
  std::string sha256;   // of a file
  bool binary = false;  // then reason says why
  std::string reason;
  Encoding encoding = Encoding::utf8;
};
// Reads all once. A byte order mark decides first (UTF-8, UTF-16). Then, NUL bytes or more than 2 % control
// characters mean a binary file. Then valid UTF-8 is UTF-8; at least ten characters of several bytes for each invalid
// byte is UTF-8 with damage, whose invalid bytes become U+FFFD; all else is Latin-1, read as Windows-1252 like
// browsers do. Error(no_input) where it cannot be read.
ByteReport inspect_bytes(ByteReader& file, size_t block = kTextBlock);
ByteReport inspect_bytes(const std::filesystem::path& path, size_t block = kTextBlock);

// The text of bytes, which must outlive it.
class TextReader {
 public:
  TextReader(ByteReader& file, Encoding encoding, size_t block = kTextBlock);
  // The next piece as valid UTF-8, whole characters; false at the end. Errors are those of the bytes.
  bool next(std::string& text);
  Encoding encoding() const noexcept { return encoding_; }

 private:
  ByteReader& file_;
  Encoding encoding_;
  size_t block_;
  bool start_ = true, end_ = false;
  std::string raw_;  // bytes not yet decoded
};


}  // namespace tw
