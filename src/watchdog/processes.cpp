#include "src/watchdog/processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "src/core/host.h"

namespace tw {
namespace {

// The start of a file of /proc; "" where there is none.
std::string read_start(const std::string& path) {
  char text[1024];
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return "";
  const ssize_t n = ::read(file, text, sizeof text);
  ::close(file);
  return n > 0 ? std::string(text, size_t(n)) : "";
}

uint64_t value_of(const std::string& text, const char* key) {
  const size_t at = text.find(key);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + std::strlen(key), nullptr, 10);
}

// Bytes of disks and pages that had to be fetched. Grows as long as there is reading or writing.
uint64_t disk_activity() {
  const std::string io = read_start("/proc/self/io"), faults = ProcessStat("self").field(12);
  return value_of(io, "\nread_bytes: ") + value_of(io, "\nwrite_bytes: ") + std::strtoull(faults.c_str(), nullptr, 10);
}

std::map<int, uint64_t> queue_times() {
  std::map<int, uint64_t> times;
  DIR* folder = ::opendir("/proc/self/task");
  if (!folder) return times;
  while (const dirent* entry = ::readdir(folder)) {
    const int thread = std::atoi(entry->d_name);
    if (thread <= 0) continue;
    const std::string text = read_start(fmt::format("/proc/self/task/{}/schedstat", thread));  // nanoseconds run, waited; slices
    if (const size_t space = text.find(' '); space != std::string::npos) times[thread] = std::strtoull(text.c_str() + space, nullptr, 10);
  }
  ::closedir(folder);
  return times;
}

}  // namespace

void Stillness::look(const Activity& doing, double now) {
  now_ = now;
  if (since_ < 0 || doing.marks != marks_) {
    marks_ = doing.marks, since_ = now, looked_ = now, excused_ = 0;
    queued_.clear();
    return;
  }
  if (now - looked_ < 1) return;
  const double before = looked_;
  looked_ = now;
  excuse(now, before);
}

void Stillness::excuse(double now, double before) {
  const bool first = queued_.empty();
  const uint64_t disk = disk_activity();
  std::map<int, uint64_t> queued = queue_times();
  double waited = now - before > 2 ? now - before - 1 : 0;  // this thread came late
  if (!first) {
    for (const auto& [thread, nanoseconds] : queued)
      if (const auto was = queued_.find(thread); was != queued_.end() && nanoseconds > was->second)
        waited = std::max(waited, double(nanoseconds - was->second) * 1e-9);
    if (disk != disk_) waited = now - before;
  }
  queued_ = std::move(queued), disk_ = disk;
  excused_ += std::min(waited, now - before);
}

Mate::Mate(int64_t pid) : pid_(pid) {
#if defined(SYS_pidfd_open)
  process_ = FileDescriptor(int(::syscall(SYS_pidfd_open, pid_t(pid), 0)));  // close-on-exec by itself
#endif
}

MateState Mate::state() const {
  if (!process_) return MateState::unknown;
  pollfd end{.fd = process_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&end, 1, 0) == 1) return MateState::gone;
  const std::string state = ProcessStat(std::to_string(pid_)).field(3);
  if (state.empty()) return MateState::unknown;
  return state == "T" || state == "t" ? MateState::stopped : state == "Z" || state == "X" ? MateState::gone : MateState::runs;
}

void Mate::kill() const {
#if defined(SYS_pidfd_send_signal)
  if (process_) ::syscall(SYS_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0);
#endif
}

}  // namespace tw
