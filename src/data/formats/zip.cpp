#include "src/data/formats/zip.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "src/core/error.h"
#include "src/data/formats/packed.h"

namespace tw {
namespace {

constexpr int kMostEntries = 65536;

struct Close {
  void operator()(archive* a) const noexcept { archive_read_free(a); }
};

std::string reason(archive* a) {
  const char* text = archive_error_string(a);
  return text ? text : "damaged";
}

}  // namespace

bool read_zip_entry(const FileDescriptor& file, std::string_view name, const std::function<void(std::string_view)>& take) {
  struct stat s {};
  TW_CHECK(::fstat(file.get(), &s) == 0 && ::lseek(file.get(), 0, SEEK_SET) == 0, io, "an archive cannot be read: {}", std::strerror(errno));
  const std::unique_ptr<archive, Close> a(archive_read_new());
  TW_CHECK(a && archive_read_support_format_zip_seekable(a.get()) == ARCHIVE_OK, io, "libarchive reads no ZIP here");
  TW_CHECK(archive_read_open_fd(a.get(), file.get(), size_t(64) << 10) == ARCHIVE_OK, data, "no ZIP archive: {}", reason(a.get()));
  archive_entry* entry = nullptr;
  for (int i = 0;; ++i) {
    const int result = archive_read_next_header(a.get(), &entry);
    if (result == ARCHIVE_EOF) return false;
    TW_CHECK(result == ARCHIVE_OK || result == ARCHIVE_WARN, data, "no whole ZIP archive: {}", reason(a.get()));
    TW_CHECK(i < kMostEntries, data, "an archive of more than {} files", kMostEntries);
    const char* path = archive_entry_pathname(entry);
    if (path && name == path) break;
  }
  TW_CHECK(!archive_entry_is_encrypted(entry), data, "encrypted: save it without a password");
  for (int64_t given = 0;;) {
    const void* data = nullptr;
    size_t bytes = 0;
    int64_t offset = 0;
    const int result = archive_read_data_block(a.get(), &data, &bytes, &offset);
    if (result == ARCHIVE_EOF) return true;
    TW_CHECK(result == ARCHIVE_OK || result == ARCHIVE_WARN, data, "{} inside it is damaged: {}", name, reason(a.get()));
    given += int64_t(bytes);
    check_unpacked(given, s.st_size);
    take({static_cast<const char*>(data), bytes});
  }
}

}  // namespace tw
