// Calls that a program made below a folder, as the disk tap recorded them.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/storm/trace_format.h"

namespace tw::storm {

struct Record {
  Call call;
  uint32_t thread = 0;
  uint64_t inode = 0;
  int64_t offset = 0, length = 0;
  std::string path, other;  // below the root; "" = the root
  std::string data;
};
std::vector<Record> read_trace(const std::filesystem::path& log);
std::string describe(const Record& record);  // "rename a/MANIFEST.tmp to a/MANIFEST"

// A tap on everything that is started with its environment. Its files lie in `folder`, outside `root`.
class Tap {
 public:
  Tap(const std::filesystem::path& root, const std::filesystem::path& folder);
  enum class Log { yes, no };
  std::vector<std::pair<std::string, std::string>> environment(Log log, uint64_t kill_at = 0) const;
  void restart() const;        // counts from 0 again, forgets the log
  uint64_t calls() const;      // since then
  std::filesystem::path log() const { return folder_ / "log"; }

 private:
  std::filesystem::path root_, folder_;
};

}  // namespace tw::storm
