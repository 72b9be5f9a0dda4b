// Token files: HDF5 by our own reader. Checksums are put right first: else no mutation would get past them. A first
// line "16" or "32" leads to raw files of that width.
#include <cstring>

#include "src/data/token_file.h"
#include "src/hdf5/reader.h"
#include "tests/fuzz/fuzz.h"

namespace tw::fuzz {
namespace {

void put(std::string& file, size_t at, uint64_t value, size_t width) { std::memcpy(file.data() + at, &value, width); }

// The sums of the superblock and of all object headers.
void mend(std::string& file) {
  if (file.size() < 48) return;
  put(file, 28, file.size(), 8);
  put(file, 44, h5::checksum(std::string_view(file).substr(0, 44)), 4);
  for (size_t at = file.find("OHDR"); at != file.npos; at = file.find("OHDR", at + 4)) {
    if (at + 16 > file.size()) return;
    const int flags = static_cast<unsigned char>(file[at + 5]);
    const size_t width = size_t(1) << (flags & 3);
    const size_t head = at + 6 + (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0);
    if (head + width > file.size()) continue;
    uint64_t bytes = 0;
    std::memcpy(&bytes, file.data() + head, width);
    const size_t begin = head + width;
    if (begin + 4 > file.size() || bytes > file.size() - begin - 4) continue;
    // A block that goes on elsewhere: its place and length stand in a message of kind 16.
    for (size_t m = begin; m + 20 <= begin + bytes;) {
      uint64_t size = 0, where = 0, length = 0;
      std::memcpy(&size, file.data() + m + 1, 2);
      std::memcpy(&where, file.data() + m + 4, 8);
      std::memcpy(&length, file.data() + m + 12, 8);
      if (file[m] == 0x10 && where < file.size() && length >= 8 && length <= file.size() - where)
        put(file, size_t(where + length) - 4, h5::checksum(std::string_view(file).substr(where, length - 4)), 4);
      m += 4 + (flags & 4 ? 2 : 0) + size;
    }
    put(file, begin + bytes, h5::checksum(std::string_view(file).substr(at, begin + bytes - at)), 4);
  }
}

void read_all(const std::filesystem::path& path, int raw_bits) {
  const auto file = TokenFile::open(path, raw_bits, true);
  int64_t tokens = 0;
  for (const Document& d : file->documents()) {
    expect(d.first_token == tokens && d.tokens >= 0, "documents stand one behind the other");
    tokens += d.tokens;
  }
  expect(tokens == file->size(), "every token is of a document");
  use(file->document_of(file->size() - 1).path.data());
}

// The sum that a message asks for goes where the other one stands: "… is A instead of B".
bool take_sum(std::string& file, const std::string& message) {
  const size_t is = message.find(" is "), instead = message.find(" instead of ");
  if (message.find("checksum of its") == message.npos || instead == message.npos) return false;
  const std::string right = message.substr(is, instead - is), stored = message.substr(instead + 12);
  const size_t begin = right.rfind(' ') + 1, at = stored.empty() ? file.npos : file.find(stored);
  if (at == file.npos || right.size() - begin != stored.size()) return false;
  file.replace(at, stored.size(), right.substr(begin));
  return true;
}

}  // namespace
}  // namespace tw::fuzz

TW_FUZZ_TARGET(token_file) {
  static const Folder folder;
  if (input.starts_with("16\n") || input.starts_with("32\n")) {
    read_all(folder.write("raw", input.substr(3)), input[0] == '1' ? 16 : 32);
    return;
  }
  std::string file(input);
  for (int attempt = 0;; ++attempt) {
    mend(file);
    try {
      read_all(folder.write("t.h5", file), 0);
      break;
    } catch (const Error& e) {
      if (attempt == 2 || !take_sum(file, e.what())) throw;
    }
  }
}
