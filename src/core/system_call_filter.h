// Which system calls this process may still make (seccomp(2)). Linux on x86-64 and arm64.
#pragma once
#include <linux/filter.h>

#include <vector>

namespace tw {

// Each allows what those before it allow. None allows the network, new processes (but threads), writing to files other
// than those that are open, changing, linking or removing files, tracing, and what only an administrator does.
enum class SystemCalls {
  memory,  // memory, time, its own signals and what is open: nothing can be opened
  files,   // besides: opens files and folders for reading
  program  // besides: becomes another program, maps code
};

class SystemCallFilter {
 public:
  explicit SystemCallFilter(SystemCalls allowed);
  // For this thread and all that come of it, for good; what is not allowed fails with EPERM. Makes no call but prctl,
  // so it may stand between fork and exec. False where the kernel has no such filters.
  bool install() const noexcept;

 private:
  std::vector<sock_filter> code_;
};

}  // namespace tw
