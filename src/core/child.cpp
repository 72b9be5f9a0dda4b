#include "src/core/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "src/core/error.h"
#include "src/core/format.h"
#include "src/core/system_call_filter.h"

namespace tw {
namespace {

constexpr size_t kBlock = size_t(64) << 10, kComplaint = 2048;
constexpr int kNotThere = 127;

void limit(int resource, uint64_t most) noexcept {
  const rlimit r{rlim_t(most), rlim_t(most)};
  ::setrlimit(decltype(RLIMIT_AS)(resource), &r);
}

// Between fork and exec of a program with threads: calls of the kernel alone.
[[noreturn]] void become(char* const* argv, char* const* environment, const char* path, const ChildLimits& limits,
                         const SystemCallFilter& filter, int in, int out, int err, pid_t parent) noexcept {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kNotThere);
  limit(RLIMIT_AS, uint64_t(limits.memory));
  limit(RLIMIT_CPU, uint64_t(limits.cpu_seconds));
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_CORE, 0);
  for (const int s : {SIGPIPE, SIGXFSZ, SIGTERM, SIGINT, SIGUSR1}) {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    ::sigaction(s, &action, nullptr);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) ::_exit(kNotThere);
  ::syscall(SYS_close_range, 3, ~0u, 0);
  filter.install();
  ::execve(path, argv, environment);
  ::_exit(kNotThere);
}

class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    if (pid_ > 0) kill(), wait();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void kill() const noexcept {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);  // before it had a group of its own
  }
  int wait() noexcept {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    ::kill(-pid_, SIGKILL);  // what it may have left behind
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

void pipe_of(FileDescriptor& reads, FileDescriptor& writes) {
  int ends[2];
  TW_CHECK(::pipe2(ends, O_CLOEXEC) == 0, io, "no pipe can be had: {}", std::strerror(errno));
  reads = FileDescriptor(ends[0]), writes = FileDescriptor(ends[1]);
}

}  // namespace

ChildEnd run_child(const std::vector<std::string>& words, const FileDescriptor& input, const ChildLimits& limits,
                   const std::function<void(std::string_view)>& take) {
  ChildEnd end;
  const char* folders = std::getenv("PATH");
  const std::filesystem::path path = find_program(folders && *folders ? folders : "/usr/local/bin:/usr/bin:/bin", words.at(0));
  if (!path.is_absolute()) return end;
  std::vector<std::string> copies = words, variables = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8"};
  std::vector<char*> argv, environment;
  for (std::string& w : copies) argv.push_back(w.data());
  for (std::string& v : variables) environment.push_back(v.data());
  argv.push_back(nullptr), environment.push_back(nullptr);
  FileDescriptor out, out_end, err, err_end;
  pipe_of(out, out_end), pipe_of(err, err_end);

  const SystemCallFilter filter(SystemCalls::program);
  const pid_t self = ::getpid(), pid = ::fork();
  TW_CHECK(pid >= 0, io, "{} cannot be started: {}", words[0], std::strerror(errno));
  if (pid == 0) become(argv.data(), environment.data(), path.c_str(), limits, filter, input.get(), out_end.get(), err_end.get(), self);
  Child child(pid);
  out_end = FileDescriptor(), err_end = FileDescriptor();

  const auto deadline = std::chrono::steady_clock::now() + limits.wall;
  int64_t given = 0;
  std::string block(kBlock, '\0');
  pollfd open[2] = {{out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}};
  while (open[0].fd >= 0 || open[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    TW_CHECK(left > 0, data, "{} took longer than {} s", words[0], limits.wall.count());
    const int ready = ::poll(open, 2, int(left));
    TW_CHECK(ready >= 0 || errno == EINTR, io, "waiting for {} failed: {}", words[0], std::strerror(errno));
    if (ready <= 0) continue;
    for (pollfd& p : open) {
      if (p.fd < 0 || p.revents == 0) continue;
      const ssize_t n = ::read(p.fd, block.data(), block.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        p.fd = -1;
      } else if (p.fd == out.get()) {
        given += n;
        TW_CHECK(given <= limits.output, data, "{} gave more than {}", words[0], human_bytes(double(limits.output)));
        take({block.data(), size_t(n)});
      } else if (end.complaint.size() < kComplaint) {
        end.complaint.append(block, 0, std::min(size_t(n), kComplaint - end.complaint.size()));
      }
    }
  }
  end.code = child.wait();
  end.started = true;
  TW_CHECK(end.code != 128 + SIGXCPU && end.code != 128 + SIGKILL, data, "{} took more than {} s of processor time or was killed", words[0],
           limits.cpu_seconds);
  return end;
}

}  // namespace tw
