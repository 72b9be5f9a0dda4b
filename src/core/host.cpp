#include "src/core/host.h"

#include <climits>
#include <filesystem>
#include <unistd.h>

#include "src/core/error.h"
#include "src/core/file.h"

namespace tw {
namespace {

std::string text_of(const std::string& path) {
  try {
    return read_file(path, 1 << 16);
  } catch (const Error&) {
    return "";
  }
}

}  // namespace

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  return ::gethostname(name, sizeof name - 1) == 0 && name[0] ? name : "unknown";
}

std::string boot_id() {
  const std::string text = text_of("/proc/sys/kernel/random/boot_id");
  return text.substr(0, text.find('\n'));
}

std::string namespace_id(const char* kind) {
  std::error_code e;
  const std::filesystem::path target = std::filesystem::read_symlink(std::string("/proc/self/ns/") + kind, e);
  return e ? "" : target.string();
}

ProcessStat::ProcessStat(const std::string& process) {
  const std::string stat = text_of("/proc/" + process + "/stat");
  if (const size_t name_end = stat.rfind(')'); name_end != std::string::npos && name_end + 2 < stat.size()) rest_ = stat.substr(name_end + 2);
}

std::string ProcessStat::field(int number) const {
  size_t at = 0;
  for (int f = 3; f < number; ++f) {
    at = rest_.find(' ', at);
    if (at == std::string::npos) return "";
    ++at;
  }
  return rest_.substr(at, rest_.find_first_of(" \n", at) - at);
}

}  // namespace tw
