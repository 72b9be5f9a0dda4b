#include "src/core/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "src/core/hash.h"

namespace tw {
namespace {

// The first object that is visited is the program itself.
int note_of_program(dl_phdr_info* object, size_t, void* out) {
  std::string& id = *static_cast<std::string*>(out);
  for (int h = 0; h < object->dlpi_phnum; ++h) {
    const ElfW(Phdr)& part = object->dlpi_phdr[h];
    if (part.p_type != PT_NOTE) continue;
    const char* at = reinterpret_cast<const char*>(object->dlpi_addr + part.p_vaddr);
    for (const char* end = at + part.p_memsz; at + sizeof(ElfW(Nhdr)) <= end;) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof note);
      const char *name = at + sizeof note, *value = name + (note.n_namesz + 3) / 4 * 4;
      at = value + (note.n_descsz + 3) / 4 * 4;
      if (at > end || note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || std::memcmp(name, "GNU", 4) != 0) continue;
      for (size_t i = 0; i < note.n_descsz; ++i) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", unsigned(static_cast<unsigned char>(value[i])));
        id += digits;
      }
      return 1;
    }
  }
  return 1;
}

std::string hash_of_program() {
  std::FILE* file = std::fopen("/proc/self/exe", "rb");
  if (!file) return "";
  Xxh3 hash;
  std::vector<char> block(1 << 20);
  for (size_t n; (n = std::fread(block.data(), 1, block.size(), file)) > 0;) hash.update(block.data(), n);
  std::fclose(file);
  return hex(hash.value());
}

}  // namespace

std::string build_id() {
  std::string id;
  dl_iterate_phdr(note_of_program, &id);
  return id.empty() ? hash_of_program() : id;
}

}  // namespace tw
