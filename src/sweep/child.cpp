#include "src/sweep/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "src/core/error.h"
#include "src/core/file.h"

extern char** environ;

namespace tw {
namespace {

// Processes the kernel has killed for lack of memory since it started; 0 where it does not say.
int64_t killed_for_memory() {
  std::ifstream counters("/proc/vmstat");
  std::string name;
  for (int64_t value = 0; counters >> name >> value;)
    if (name == "oom_kill") return value;
  return 0;
}

}  // namespace

Child::Child(const std::vector<std::string>& words, const std::filesystem::path& log,
             const std::vector<std::pair<std::string, std::string>>& environment)
    : killed_before_(killed_for_memory()) {
  // Between fork and exec nothing may be allocated.
  std::vector<std::string> copies = words, variables;
  for (char** v = environ; *v; ++v) {
    const std::string_view variable = *v;
    bool replaced = false;
    for (const auto& [name, value] : environment) replaced |= variable.starts_with(name + "=");
    if (!replaced) variables.emplace_back(variable);
  }
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  std::vector<char*> argv, envp;
  for (std::string& w : copies) argv.push_back(w.data());
  for (std::string& v : variables) envp.push_back(v.data());
  argv.push_back(nullptr), envp.push_back(nullptr);

  const FileDescriptor out(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  TW_CHECK(out, cannot_create, "cannot create {}: {}", log.string(), std::strerror(errno));
  const FileDescriptor in(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  int ends[2];
  TW_CHECK(in && ::pipe2(ends, O_CLOEXEC) == 0, io, "cannot start {}: {}", words[0], std::strerror(errno));
  const FileDescriptor from(ends[0]);
  FileDescriptor to(ends[1]);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  TW_CHECK(pid_ >= 0, io, "cannot start {}: no new process: {}", words[0], std::strerror(errno));
  if (pid_ == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(75);
    ::signal(SIGPIPE, SIG_DFL);
    ::signal(SIGXFSZ, SIG_DFL);
    ::dup2(in.get(), 0), ::dup2(out.get(), 1), ::dup2(out.get(), 2);
    ::execve(argv[0], argv.data(), envp.data());
    const int why = errno;
    [[maybe_unused]] const ssize_t said = ::write(to.get(), &why, sizeof why);
    ::_exit(127);
  }
  to.reset();
  int why = 0;
  ssize_t n = 0;
  while ((n = ::read(from.get(), &why, sizeof why)) < 0 && errno == EINTR) {}
  if (n == ssize_t(sizeof why)) {
    ::waitpid(pid_, nullptr, 0);
    TW_FAIL(no_input, "cannot start {}: {}", words[0], std::strerror(why));
  }
}

Child::~Child() {
  if (end_) return;
  signal(SIGUSR1);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
}

std::optional<ChildEnd> Child::poll() {
  int status = 0;
  if (end_ || ::waitpid(pid_, &status, WNOHANG) != pid_) return end_;
  end_ = ChildEnd{};
  if (WIFSIGNALED(status))
    end_->signal = WTERMSIG(status);
  else
    end_->code = WEXITSTATUS(status);
  end_->no_memory = end_->signal == SIGKILL && killed_for_memory() > killed_before_;
  return end_;
}

void Child::signal(int number) noexcept {
  if (!end_) ::kill(pid_, number);
}

std::string text_of(const ChildEnd& end) {
  if (end.no_memory) return "was killed by the kernel for lack of memory: fewer runs at once (sweep.parallel) or smaller micro batches need less";
  if (end.signal == SIGKILL) return "was killed by signal 9 (SIGKILL): by hand, or for lack of memory";
  if (end.signal) return fmt::format("was ended by signal {} ({})", end.signal, ::strsignal(end.signal));
  return fmt::format("ended with exit code {}", end.code);
}

}  // namespace tw
