// A ZIP archive whose entries are stored as they are (APPNOTE 6.3.3).
#pragma once
#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tw::fuzz {

inline std::string stored_zip(const std::vector<std::pair<std::string, std::string_view>>& entries) {
  std::string file, directory;
  const auto number = [](std::string& to, uint64_t value, int width) {
    for (int i = 0; i < width; ++i) to += char(value >> (8 * i) & 255);
  };
  for (const auto& [name, content] : entries) {
    std::string head;
    number(head, 20, 2), number(head, 0, 2), number(head, 0, 2), number(head, 0, 4);  // version, flags, stored, time
    number(head, crc32(0, reinterpret_cast<const Bytef*>(content.data()), uInt(content.size())), 4);
    number(head, content.size(), 4), number(head, content.size(), 4), number(head, name.size(), 2), number(head, 0, 2);
    directory += std::string("PK\x01\x02\x14\0", 6) + head;
    number(directory, 0, 2), number(directory, 0, 2), number(directory, 0, 2), number(directory, 0, 4);
    number(directory, file.size(), 4);
    directory += name;
    file += "PK\x03\x04" + head + name;
    file += content;
  }
  const size_t begin = file.size();
  file += directory + std::string("PK\x05\x06\0\0\0\0", 8);
  number(file, entries.size(), 2), number(file, entries.size(), 2), number(file, directory.size(), 4), number(file, begin, 4), number(file, 0, 2);
  return file;
}

}  // namespace tw::fuzz
