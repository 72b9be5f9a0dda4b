// Work on the files of others, in a process that can do nothing else.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "src/core/system_call_filter.h"

namespace tw {

struct SandboxLimits {
  SystemCalls calls = SystemCalls::memory;
  int64_t memory = int64_t(1) << 30;  // bytes it may allocate; files mapped for reading are not counted
  int cpu_seconds = 60;
  std::chrono::milliseconds wall{120'000};
  int64_t result = int64_t(64) << 20;  // bytes
};

// A piece of the result, in order.
using SandboxWrite = std::function<void(std::string_view)>;

// Runs work(write) in a copy of this process (fork) that has no descriptors but standard error, writes no file, reaches
// no network, starts no program and gains no rights; what it writes is given to take(), and must be checked there like
// the file itself. Returns when the work has ended. What it throws is thrown here; a crash, and a limit that was
// exceeded, are Error(data) "WHAT: ...". The child has one thread: work() may not wait for others of this process, so
// no other thread may hold a lock that it takes. Within work() another call runs where it is. Error(io) where there can
// be no more processes. Source: seccomp(2).
void run_sandboxed(const std::string& what, const SandboxLimits& limits, const std::function<void(const SandboxWrite&)>& work,
                   const SandboxWrite& take);
std::string run_sandboxed(const std::string& what, const SandboxLimits& limits, const std::function<std::string()>& work);

// Work that needs nothing but the bytes of a file and a number.
using SandboxWork = void (*)(std::string_view file, int64_t number, const SandboxWrite& write);

// While one lives, run_sandboxed_small() lets a child go on from file to file, so that many small files do not cost a process each. The children
// are ended with the last of them.
class SandboxReuse {
 public:
  SandboxReuse();
  ~SandboxReuse();
  SandboxReuse(const SandboxReuse&) = delete;
  SandboxReuse& operator=(const SandboxReuse&) = delete;
};

// As run_sandboxed(), of work(file, number, write). Where a SandboxReuse lives and the file has at most kSmallFile bytes, in a child that has read
// files before: each reads kFilesOfAChild at most, one after the other, with the limits of the first, and none behind one that was refused. So a bad
// file costs only itself: at which a child dies is tried again in a child of its own. A file that takes a child over in silence could
// say something wrong of those that come behind it there, and no more. The result is kept until the work has ended.
inline constexpr size_t kSmallFile = size_t(1) << 20;
inline constexpr int kFilesOfAChild = 256;
void run_sandboxed_small(const std::string& what, const SandboxLimits& limits, SandboxWork work, std::string_view file, int64_t number, const SandboxWrite& take);

}  // namespace tw
