#include "src/core/bus_error.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "src/core/error.h"

namespace tw {
namespace {

// All that runs in the handler is safe there (signal-safety(7)): no allocation, no locks, no stdio.
struct sigaction earlier_ {};

// Lines of /proc/self/maps one after the other: "START-END rwxp OFFSET DEVICE INODE PATH", numbers but INODE in hexadecimal.
class Maps {
 public:
  Maps() noexcept : fd_(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC)) {}
  ~Maps() {
    if (fd_ >= 0) ::close(fd_);
  }
  Maps(const Maps&) = delete;
  Maps& operator=(const Maps&) = delete;
  bool next() noexcept {
    int n = 0;
    for (char c; (c = get()) != 0 && c != '\n';)
      if (n < int(sizeof line) - 1) line[n++] = c;
    line[n] = 0;
    return n > 0;
  }
  char line[4600];

 private:
  char get() noexcept {
    if (at_ == end_) end_ = fd_ < 0 ? 0 : ::read(fd_, buffer_, sizeof buffer_), at_ = 0;
    return at_ < end_ ? buffer_[at_++] : char(0);
  }
  int fd_;
  char buffer_[4096];
  ssize_t at_ = 0, end_ = 0;
};

uint64_t hexadecimal(const char*& at) noexcept {
  uint64_t value = 0;
  for (;; ++at) {
    const int digit = *at >= '0' && *at <= '9' ? *at - '0' : *at >= 'a' && *at <= 'f' ? *at - 'a' + 10 : -1;
    if (digit < 0) return value;
    value = value << 4 | uint64_t(digit);
  }
}

void say(const char* text) noexcept { [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, text, std::strlen(text)); }
void say(uint64_t number) noexcept {
  char text[24];
  char* at = text + sizeof text;
  *--at = 0;
  do *--at = char('0' + number % 10);
  while ((number /= 10) > 0);
  say(at);
}

void on_bus_error(int signal, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<uint64_t>(info->si_addr);
  for (Maps maps; info->si_code == BUS_ADRERR && maps.next();) {
    const char* at = maps.line;
    const uint64_t begin = hexadecimal(at), end = *at == '-' ? hexadecimal(++at) : 0;
    const char* path = std::strchr(maps.line, '/');
    if (address < begin || address >= end || !path) continue;
    at += 6;  // " r--p "
    const uint64_t offset = hexadecimal(at);
    say("tokenwerk: "), say(path), say(" was cut off while it was in use: byte "), say(address - begin + offset), say(" cannot be read\n");
    ::_exit(int(ExitCode::data));
  }
  ::sigaction(signal, &earlier_, nullptr);  // the instruction is tried again under it
}

}  // namespace

void explain_bus_errors() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    TW_CHECK(::sigaction(SIGBUS, &action, &earlier_) == 0, bug, "cannot install a handler for bus errors: {}", std::strerror(errno));
  });
}

}  // namespace tw
