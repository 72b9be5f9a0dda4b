// A program that reads a file of a kind no library here reads, kept within limits.
#pragma once
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "src/core/file.h"

namespace tw {

struct ChildLimits {
  int64_t memory = int64_t(2) << 30;  // bytes of address space
  int cpu_seconds = 120;
  std::chrono::seconds wall{180};
  int64_t output = int64_t(1) << 30;  // bytes
};

struct ChildEnd {
  bool started = false;  // false: there is no such program
  int code = 0;          // exit code; 128 + signal
  std::string complaint;  // what it wrote to standard error, its first 2 KiB
};

// Runs `words` (program and arguments; found by PATH) with `input` as standard input, gives what it writes to take(), and
// returns when it has ended. It has no descriptors but these, no environment but PATH and a UTF-8 locale, may write no
// files, reach no network and start nothing else (core/system_call_filter.h), and is killed where it exceeds a limit
// (Error(data) says which) or take() throws. Error(io).
ChildEnd run_child(const std::vector<std::string>& words, const FileDescriptor& input, const ChildLimits& limits,
                   const std::function<void(std::string_view)>& take);

}  // namespace tw
