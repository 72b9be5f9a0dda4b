#include "tests/support/archives.h"

#include <zlib.h>

namespace tw {

std::string deflated(std::string_view text, int container) {
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, container, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = uInt(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = uInt(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string zip(const std::vector<ZipEntry>& entries, size_t times_listed) {
  std::string file, directory;
  const auto number = [](std::string& to, uint64_t value, int width) {
    for (int i = 0; i < width; ++i) to += char(value >> (8 * i) & 255);
  };
  size_t count = 0;
  for (const ZipEntry& e : entries) {
    const std::string packed = e.stored ? e.content : deflated(e.content, -15);
    const uint64_t size = e.claimed ? e.claimed : e.content.size();
    std::string head;
    number(head, 20, 2), number(head, 0, 2), number(head, e.stored ? 0 : 8, 2), number(head, 0, 4);
    number(head, crc32(0, reinterpret_cast<const Bytef*>(e.content.data()), uInt(e.content.size())), 4);
    number(head, packed.size(), 4), number(head, size, 4), number(head, e.name.size(), 2), number(head, 0, 2);
    for (size_t i = 0; i < times_listed; ++i, ++count) {
      directory += std::string("PK\x01\x02\x14\x00", 6) + head;
      number(directory, 0, 2), number(directory, 0, 2), number(directory, 0, 2), number(directory, 0, 4);
      number(directory, file.size(), 4);
      directory += e.name;
    }
    file += "PK\x03\x04" + head + e.name + packed;
  }
  const size_t begin = file.size();
  file += directory + std::string("PK\x05\x06\0\0\0\0", 8);
  number(file, count & 0xFFFF, 2), number(file, count & 0xFFFF, 2), number(file, directory.size(), 4),
      number(file, begin, 4);
  number(file, 0, 2);
  return file;
}

}  // namespace tw
