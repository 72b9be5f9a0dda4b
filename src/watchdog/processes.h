// What can be seen of processes from outside: of this one's main thread, and of a neighbour's.
#pragma once
#include <map>

#include "src/core/activity.h"
#include "src/core/file.h"
#include "src/watchdog/beat.h"

namespace tw {

// How long the main thread has made no mark, and how much of that was not its fault. Looked at by another thread, four
// times a second.
class Stillness {
 public:
  void look(const Activity& now_doing, double now);
  double idle() const noexcept { return now_ - since_; }
  // Waiting for a core (of the thread of this process that waited longest), reading or writing a disk, or being stopped.
  double excused() const noexcept { return excused_; }

 private:
  uint64_t marks_ = 0;
  double since_ = -1, now_ = 0, looked_ = 0, excused_ = 0;
  std::map<int, uint64_t> queued_;  // nanoseconds that each thread has waited for a core
  uint64_t disk_ = 0;
  void excuse(double now, double since);
};

// The next rank of this node: whether its process is there, and runs. By a pidfd, so another process that gets its number is
// not taken for it.
class Mate {
 public:
  Mate() = default;
  explicit Mate(int64_t pid);
  int fd() const noexcept { return process_.get(); }  // readable when the process has ended; -1 = not known
  MateState state() const;
  void kill() const;  // it is stopped and would stay when the others have left

 private:
  int64_t pid_ = 0;
  FileDescriptor process_;
};

}  // namespace tw
