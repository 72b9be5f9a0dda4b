#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <unistd.h>

#include "src/core/file.h"

namespace tw::fuzz {
namespace fs = std::filesystem;

Folder::Folder() {
  std::error_code absent;
  const fs::path memory = fs::is_directory("/dev/shm", absent) ? "/dev/shm" : fs::temp_directory_path();
  std::string name = (memory / "tw_fuzz.XXXXXX").string();
  if (!::mkdtemp(name.data())) {
    std::perror(name.c_str());
    std::abort();
  }
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

fs::path Folder::write(const std::string& name, std::string_view content) const {
  const fs::path path = path_ / name;
  const FileDescriptor fd = open_to_write(path);
  write_exactly(fd.get(), content.data(), content.size(), 0, path);
  return path;
}

std::string_view next_part(std::string_view& rest) {
  constexpr std::string_view kMark = "\n%%%\n";
  const size_t end = rest.find(kMark);
  const std::string_view part = rest.substr(0, end);
  rest = end == rest.npos ? std::string_view() : rest.substr(end + kMark.size());
  return part;
}

}  // namespace tw::fuzz
