// How fast a folder's disk takes and gives bytes, with what the kernel keeps in memory left out.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

namespace tw {

struct DiskSpeed {
  double bytes = 0;            // moved each way, each time
  double write_seconds = 0;    // write and fsync: median of the repeats
  double read_seconds = 0;
  double fsync_seconds = 0;    // of 4 KiB
  bool read_past_cache = false;  // false: the read may have come from memory
  std::string read_how;        // "direct", "cache dropped", "from memory"
  double write_rate() const { return bytes / write_seconds; }
  double read_rate() const { return bytes / read_seconds; }
};

// Writes bytes that do not compress to a file without a name in `folder` and reads them back, `repeats` times or until
// `budget` seconds have passed. Error(cannot_create), Error(io).
DiskSpeed measure_disk(const std::filesystem::path& folder, int64_t bytes, int repeats, double budget);

// What lies under a folder.
struct FileSystem {
  std::string kind;         // "ext4", "nfs4", "tmpfs"
  std::string mount_point;
  double total = 0, free = 0;  // bytes; free: for this user
  double inodes_free = 0;      // 0 with inodes 0: the filesystem does not count them
  double inodes = 0;
  bool shared = false;      // other machines write to it
  bool in_memory = false;   // gone when the machine stops
};
// `root` as in kernel_files.h, where /proc/self/mountinfo is looked for. Error(no_input) where the folder is not there.
FileSystem file_system_of(const std::filesystem::path& folder, const std::filesystem::path& root = "/");

}  // namespace tw
