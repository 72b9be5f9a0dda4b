#include "src/machine/disk_speed.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/rng.h"
#include "src/core/tensor.h"
#include "src/machine/kernel_files.h"
#include "src/machine/spread.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBlock = size_t(4) << 20;
constexpr std::array<std::string_view, 16> kShared = {"nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb3",
                                                      "afs", "orangefs", "pvfs2", "glusterfs", "fuse.glusterfs", "fuse.ceph",
                                                      "9p", "virtiofs"};

void check_io(bool good, const char* what, const fs::path& folder) {
  TW_CHECK(good, io, "{}: {} a file to measure the disk failed: {}", folder.string(), what, std::strerror(errno));
}

void sync_file(int fd, const fs::path& folder) {
  int code = 0;
  do code = ::fsync(fd);
  while (code != 0 && errno == EINTR);
  check_io(code == 0, "flushing", folder);
}

// "\040" and the like, as /proc writes blanks in paths.
std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t k) { return i + k < text.size() && text[i + k] >= '0' && text[i + k] <= '7'; };
    if (text[i] == '\\' && digit(1) && digit(2) && digit(3)) {
      out += char((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// A mount point holds `path` where it is the path or a folder above it.
bool holds(const std::string& mount, const std::string& path) {
  return path.starts_with(mount) && (mount.ends_with('/') || path.size() == mount.size() || path[mount.size()] == '/');
}

}  // namespace

DiskSpeed measure_disk(const fs::path& folder, int64_t bytes, int repeats, double budget) {
  TW_CHECK(bytes >= int64_t(kBlock) && repeats >= 1, bug, "a disk is measured with {} bytes, {} times", bytes, repeats);
  const int64_t blocks = bytes / int64_t(kBlock);
  std::string name = (folder / ".tokenwerk-disk-XXXXXX").string();
  const FileDescriptor fd(::mkstemp(name.data()));
  TW_CHECK(fd, cannot_create, "{}: no file can be made there: {}", folder.string(), std::strerror(errno));
  // Without a name from the start: nothing is left, however this ends.
  ::unlink(name.c_str());

  Memory memory(kBlock, {});  // aligned as direct reads want it
  auto* words = static_cast<uint64_t*>(memory.data());
  const Rng rng{.seed = uint64_t(::getpid()), .stream = RngStream::test};
  for (size_t i = 0; i < kBlock / sizeof(uint64_t); ++i) words[i] = rng.bits64(i);

  DiskSpeed speed;
  speed.bytes = double(blocks) * double(kBlock);
  std::vector<double> writes, reads, syncs;
  const double begin = now_seconds();
  for (int r = 0; r < repeats && (r == 0 || now_seconds() - begin < budget); ++r) {
    double start = now_seconds();
    for (int64_t b = 0; b < blocks; ++b) {
      words[0] = uint64_t(b * repeats + r);  // no two blocks alike: some filesystems would store them once
      write_exactly(fd.get(), words, kBlock, b * int64_t(kBlock), folder);
    }
    sync_file(fd.get(), folder);
    writes.push_back(now_seconds() - start);
    for (int i = 0; i < 3; ++i) {
      start = now_seconds();
      write_exactly(fd.get(), words, 4096, 0, folder);
      sync_file(fd.get(), folder);
      syncs.push_back(now_seconds() - start);
    }

    // Clean pages can be dropped; direct reads do not look for them.
    const bool dropped = ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) == 0;
    const int flags = ::fcntl(fd.get(), F_GETFL);
    bool direct = flags >= 0 && ::fcntl(fd.get(), F_SETFL, flags | O_DIRECT) == 0;
    start = now_seconds();
    for (int64_t b = 0; b < blocks; ++b) {
      int64_t done = 0;
      while (done < int64_t(kBlock)) {
        const ssize_t n = ::pread(fd.get(), reinterpret_cast<char*>(words) + done, kBlock - size_t(done), b * int64_t(kBlock) + done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EINVAL && direct) {  // said yes to the flag, but cannot
          ::fcntl(fd.get(), F_SETFL, flags);
          direct = false;
          continue;
        }
        check_io(n > 0, "reading back", folder);
        done += n;
      }
      TW_CHECK(b == 0 || words[0] == uint64_t(b * repeats + r), io, "{}: the disk gave back other bytes than were written", folder.string());
    }
    reads.push_back(now_seconds() - start);
    if (direct) ::fcntl(fd.get(), F_SETFL, flags);
    speed.read_past_cache = direct || dropped;
    speed.read_how = direct ? "direct" : dropped ? "cache dropped" : "from memory";
  }
  speed.write_seconds = median_of(writes), speed.read_seconds = median_of(reads), speed.fsync_seconds = median_of(syncs);
  return speed;
}

FileSystem file_system_of(const fs::path& folder, const fs::path& root) {
  struct statvfs s{};
  TW_CHECK(::statvfs(folder.c_str(), &s) == 0, no_input, "{}: {}", folder.string(), std::strerror(errno));
  FileSystem found;
  found.total = double(s.f_blocks) * double(s.f_frsize);
  found.free = double(s.f_bavail) * double(s.f_frsize);
  found.inodes = double(s.f_files), found.inodes_free = double(s.f_favail);
  std::error_code error;
  fs::path whole = fs::canonical(folder, error);
  if (error) whole = fs::absolute(folder, error);
  // "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
  const std::string mounts = kernel_text(root / "proc/self/mountinfo");
  for (size_t begin = 0; begin < mounts.size();) {
    const size_t end = std::min(mounts.find('\n', begin), mounts.size());
    const std::string_view line = std::string_view(mounts).substr(begin, end - begin);
    begin = end + 1;
    std::vector<std::string_view> words;
    for (size_t at = 0; at < line.size();) {
      const size_t next = std::min(line.find(' ', at), line.size());
      words.push_back(line.substr(at, next - at));
      at = next + 1;
    }
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 7 || dash == words.end() || dash + 1 == words.end()) continue;
    const std::string mount = unescaped(words[4]);
    if (!holds(mount, whole.string()) || mount.size() < found.mount_point.size()) continue;  // the last of equals lies on top
    found.mount_point = mount, found.kind = std::string(dash[1]);
  }
  if (found.kind.empty()) found.kind = "unknown";
  found.shared = std::find(kShared.begin(), kShared.end(), found.kind) != kShared.end();
  found.in_memory = found.kind == "tmpfs" || found.kind == "ramfs";
  return found;
}

}  // namespace tw
