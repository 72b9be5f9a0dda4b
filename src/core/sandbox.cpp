#include "src/core/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <vector>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"

namespace tw {
namespace {

// What comes over the pipe: frames of a head and its bytes.
enum class Kind : uint32_t { piece = 1, error, end, no_filter };
struct Head {
  Kind kind;
  uint32_t code;   // of an error
  uint64_t bytes;  // that follow
};
constexpr uint64_t kFrame = uint64_t(1) << 20;
constexpr int kPipe = 3;  // in the child
#ifdef TW_SANDBOX_INLINE  // a fuzzer wants to see the crash
bool inside = true;
#else
bool inside = false;  // this is a child
#endif

// Bytes of private memory that this process may write to; RLIMIT_DATA counts those.
int64_t data_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmData:")) return std::strtoll(line.c_str() + 7, nullptr, 10) << 10;
  return int64_t(16) << 30;
}

void limit(int resource, uint64_t soft, uint64_t hard) noexcept {
  const rlimit r{rlim_t(soft), rlim_t(hard)};
  ::setrlimit(decltype(RLIMIT_AS)(resource), &r);
}

void send(Kind kind, uint32_t code, std::string_view bytes) {
  const Head head{kind, code, bytes.size()};
  std::string frame(reinterpret_cast<const char*>(&head), sizeof head);
  frame += bytes;
  for (size_t at = 0; at < frame.size();) {
    const ssize_t n = ::write(kPipe, frame.data() + at, frame.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) ::_exit(1);  // nobody listens
    at += size_t(n);
  }
}

// Gives up what the child does not need. `pipe`: to the parent.
void enter_sandbox(const SandboxLimits& limits, const SystemCallFilter& filter, int pipe, pid_t parent, int64_t data) noexcept {
  inside = true;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  for (int s = 1; s < NSIG; ++s) ::signal(s, SIG_DFL);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGINT, SIG_IGN);  // Ctrl-C is for the parent, which ends this one
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (::dup2(nothing, 0) < 0 || ::dup2(nothing, 1) < 0 || ::dup2(pipe, kPipe) < 0) ::_exit(1);
  ::syscall(SYS_close_range, unsigned(kPipe + 1), ~0u, 0);
  ::prctl(PR_SET_DUMPABLE, 0);
  limit(RLIMIT_CORE, 0, 0);
  limit(RLIMIT_FSIZE, 0, 0);
  limit(RLIMIT_CPU, uint64_t(limits.cpu_seconds), uint64_t(limits.cpu_seconds) + 1);  // SIGXCPU first, which says why
  if (limits.calls == SystemCalls::memory) limit(RLIMIT_NOFILE, kPipe + 1, kPipe + 1);
#ifndef __SANITIZE_ADDRESS__  // it maps terabytes
  limit(RLIMIT_DATA, uint64_t(data + limits.memory), uint64_t(data + limits.memory));
#else
  (void)data;
#endif
  if (!filter.install()) send(Kind::no_filter, 0, "");
}

// Works, and tells the parent what came of it. False where that is an error.
bool answer(const SandboxLimits& limits, const std::function<void(const SandboxWrite&)>& work) noexcept {
  try {
    work([](std::string_view bytes) {
      for (size_t at = 0; at < bytes.size(); at += kFrame) send(Kind::piece, 0, bytes.substr(at, kFrame));
    });
    send(Kind::end, 0, "");
    return true;
  } catch (const Error& e) {
    send(Kind::error, uint32_t(e.code()), e.what());
  } catch (const std::bad_alloc&) {
    // Room for this message there is: what did not fit was larger.
    send(Kind::error, uint32_t(ExitCode::data), fmt::format("it takes more than {} of memory", human_bytes(double(limits.memory))));
  } catch (const std::exception& e) {
    send(Kind::error, uint32_t(ExitCode::data), e.what());
  }
  return false;
}

class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    if (pid_ > 0) ::kill(pid_, SIGKILL), wait();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  int wait() noexcept {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};

// Reads the frames of a child that may say anything.
class Frames {
 public:
  Frames(int fd, const std::string& what, const SandboxLimits& limits)
      : fd_(fd), what_(what), limits_(limits), deadline_(std::chrono::steady_clock::now() + limits.wall) {}
  // False: the child has ended, or closed its end.
  bool next(Head& head, std::string& bytes) {
    if (!read({reinterpret_cast<char*>(&head), sizeof head})) return false;
    TW_CHECK(head.bytes <= kFrame, data, "{}: its reader sent {} bytes at once", what_, head.bytes);
    bytes.resize(size_t(head.bytes));
    return read(bytes);
  }

 private:
  bool read(std::span<char> out) {
    for (size_t at = 0; at < out.size();) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now()).count();
      TW_CHECK(left > 0, data, "{}: reading it took longer than {:.3g} s", what_, double(limits_.wall.count()) / 1000);
      pollfd p{fd_, POLLIN, 0};
      const int ready = ::poll(&p, 1, int(std::min<int64_t>(left, 1 << 30)));
      TW_CHECK(ready >= 0 || errno == EINTR, io, "{}: waiting for its reader failed: {}", what_, std::strerror(errno));
      if (ready <= 0) continue;
      const ssize_t n = ::read(fd_, out.data() + at, out.size() - at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == ECONNRESET) return false;  // a socket's other end died before it read what it was sent
      TW_CHECK(n >= 0, io, "{}: listening to its reader failed: {}", what_, std::strerror(errno));
      if (n == 0) return false;
      at += size_t(n);
    }
    return true;
  }

  int fd_;
  const std::string& what_;
  const SandboxLimits& limits_;
  std::chrono::steady_clock::time_point deadline_;
};

void say_no_filter(const std::string& what) {
  static std::atomic<bool> said = false;
  if (!said.exchange(true)) log_warning("this kernel filters no system calls: {} is read in a process of its own, with limits alone", what);
}

// What the child threw.
[[noreturn]] void throw_error(const Head& head, const std::string& text, const std::string& what) {
  const auto code = ExitCode(int(head.code));
  const bool known = code == ExitCode::data || code == ExitCode::config || code == ExitCode::no_input || code == ExitCode::io || code == ExitCode::bug;
  const bool named = text.find(what) != std::string::npos;
  throw Error(head.kind == Kind::error && known ? code : ExitCode::data, named ? text : what + ": " + text);
}

constexpr size_t kKept = size_t(8) << 20;  // bytes of a small file's result: of a larger one it is no small file

// A child that reads small files, and the memory in which they are given to it.
class Worker {
 public:
  Worker(SandboxWork work, const SandboxLimits& limits) : work_(work), limits_(limits) {
    int ends[2];
    TW_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, io, "no socket can be had: {}", std::strerror(errno));
    socket_ = FileDescriptor(ends[0]);
    const FileDescriptor theirs(ends[1]);
    window_ = static_cast<char*>(::mmap(nullptr, kSmallFile, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    TW_CHECK(window_ != MAP_FAILED, io, "no memory can be shared with a child: {}", std::strerror(errno));
    const SystemCallFilter filter(limits.calls);
    const int64_t data = data_bytes();
    const pid_t self = ::getpid(), pid = ::fork();
    if (pid < 0) ::munmap(window_, kSmallFile);
    TW_CHECK(pid >= 0, io, "no process can be started to read files: {}", std::strerror(errno));
    if (pid == 0) {
      enter_sandbox(limits, filter, theirs.get(), self, data);
      serve();
    }
    child_.emplace(pid);
  }
  ~Worker() { ::munmap(window_, kSmallFile); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  SandboxWork work() const noexcept { return work_; }
  bool spent() const noexcept { return files_ >= kFilesOfAChild; }

  // False: the child has died, or gave more than is kept.
  bool run(const std::string& what, std::string_view file, int64_t number, std::string& result) {
    ++files_;
    std::memcpy(window_, file.data(), file.size());
    const Request request{file.size(), number};
    if (::send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL) != ssize_t(sizeof request)) return false;
    Frames frames(socket_.get(), what, limits_);
    Head head{};
    std::string bytes;
    while (frames.next(head, bytes)) {
      if (head.kind == Kind::end) return true;
      if (head.kind == Kind::no_filter) {
        say_no_filter(what);
      } else if (head.kind == Kind::piece) {
        if (result.size() + bytes.size() > kKept) return false;
        result += bytes;
      } else {
        throw_error(head, bytes, what);
      }
    }
    return false;
  }

 private:
  struct Request {
    uint64_t bytes = 0;
    int64_t number = 0;
  };
  [[noreturn]] void serve() const noexcept {
    for (Request request;;) {
      ssize_t n = 0;
      while ((n = ::read(kPipe, &request, sizeof request)) < 0 && errno == EINTR) {
      }
      if (n != ssize_t(sizeof request) || request.bytes > kSmallFile) ::_exit(0);  // no more files
      if (!answer(limits_, [&](const SandboxWrite& write) { work_({window_, size_t(request.bytes)}, request.number, write); })) ::_exit(0);
    }
  }
  SandboxWork work_;
  SandboxLimits limits_;
  FileDescriptor socket_;
  char* window_ = nullptr;
  int files_ = 0;
  std::optional<Child> child_;
};

// Children that wait for a file, while there is a SandboxReuse.
struct Waiting {
  std::mutex mutex;
  int reuses = 0;
  std::vector<std::unique_ptr<Worker>> workers;
};
Waiting& waiting() {
  static Waiting all;
  return all;
}

}  // namespace

SandboxReuse::SandboxReuse() {
  Waiting& all = waiting();
  const std::lock_guard lock(all.mutex);
  ++all.reuses;
}

SandboxReuse::~SandboxReuse() {
  std::vector<std::unique_ptr<Worker>> ended;
  Waiting& all = waiting();
  const std::lock_guard lock(all.mutex);
  if (--all.reuses == 0) ended.swap(all.workers);
}

void run_sandboxed_small(const std::string& what, const SandboxLimits& limits, SandboxWork work, std::string_view file, int64_t number, const SandboxWrite& take) {
  if (inside) return work(file, number, take);
  Waiting& all = waiting();
  std::unique_ptr<Worker> worker;
  bool reuse = file.size() <= kSmallFile;
  if (reuse) {
    const std::lock_guard lock(all.mutex);
    reuse = all.reuses > 0;
    const auto found = std::find_if(all.workers.begin(), all.workers.end(), [&](const auto& w) { return w->work() == work; });
    if (reuse && found != all.workers.end()) worker = std::move(*found), all.workers.erase(found);
  }
  if (reuse) {
    if (!worker) worker = std::make_unique<Worker>(work, limits);
    std::string result;
    if (worker->run(what, file, number, result)) {
      if (!worker->spent()) {
        const std::lock_guard lock(all.mutex);
        if (all.reuses > 0) all.workers.push_back(std::move(worker));
      }
      worker.reset();
      if (!result.empty()) take(result);
      return;
    }
    worker.reset();
  }
  run_sandboxed(what, limits, [&](const SandboxWrite& write) { work(file, number, write); }, take);
}

void run_sandboxed(const std::string& what, const SandboxLimits& limits, const std::function<void(const SandboxWrite&)>& work,
                   const SandboxWrite& take) {
  if (inside) return work(take);
  int ends[2];
  TW_CHECK(::pipe2(ends, O_CLOEXEC) == 0, io, "no pipe can be had: {}", std::strerror(errno));
  const FileDescriptor from(ends[0]);
  FileDescriptor to(ends[1]);
  const SystemCallFilter filter(limits.calls);
  const int64_t data = data_bytes();
  const pid_t self = ::getpid(), pid = ::fork();
  TW_CHECK(pid >= 0, io, "no process can be started to read {}: {}", what, std::strerror(errno));
  if (pid == 0) {
    enter_sandbox(limits, filter, to.get(), self, data);
    answer(limits, work);
    ::_exit(0);
  }
  Child child(pid);
  to.reset();

  Frames frames(from.get(), what, limits);
  Head head{};
  std::string bytes;
  int64_t given = 0;
  while (frames.next(head, bytes)) {
    if (head.kind == Kind::end) {
      child.wait();
      return;
    }
    if (head.kind == Kind::no_filter) {
      say_no_filter(what);
    } else if (head.kind == Kind::piece) {
      given += int64_t(bytes.size());
      TW_CHECK(given <= limits.result, data, "{}: its reader gave more than {}", what, human_bytes(double(limits.result)));
      take(bytes);
    } else {
      throw_error(head, bytes, what);
    }
  }
  const int status = child.wait();
  TW_CHECK(!WIFSIGNALED(status) || WTERMSIG(status) != SIGXCPU, data, "{}: reading it took more than {} s of processor time", what,
           limits.cpu_seconds);
  TW_CHECK(!WIFSIGNALED(status), data, "{}: its reader was ended by signal {} ({}): the file is damaged, or made to do harm", what,
           WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  TW_FAIL(data, "{}: its reader ended without a result", what);
}

std::string run_sandboxed(const std::string& what, const SandboxLimits& limits, const std::function<std::string()>& work) {
  std::string result;
  run_sandboxed(what, limits, [&](const SandboxWrite& write) { write(work()); }, [&](std::string_view piece) { result += piece; });
  return result;
}

}  // namespace tw
