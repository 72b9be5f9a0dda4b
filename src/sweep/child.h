// A program that runs beside this one.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tw {

// How it ended.
struct ChildEnd {
  int code = 0;    // exit code, where no signal ended it
  int signal = 0;  // or the signal
  bool no_memory = false;  // SIGKILL, and the kernel's count of processes killed for lack of memory rose meanwhile
};

// In a process group of its own, so that Ctrl-C on the terminal reaches it once, by way of this process. It is sent
// SIGTERM when this process dies. Standard input is empty; what it says is appended to a file.
class Child {
 public:
  // words[0]: the path of the program. environment: added to this process's. Error(no_input) where the program cannot
  // be started, Error(cannot_create) where the log cannot be opened, Error(io) where there can be no more processes.
  Child(const std::vector<std::string>& words, const std::filesystem::path& log,
        const std::vector<std::pair<std::string, std::string>>& environment = {});
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();  // if it is running: SIGUSR1, which asks it to save and stop, and waits

  // Nothing while it runs. Does not wait.
  std::optional<ChildEnd> poll();
  void signal(int number) noexcept;
  pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = -1;
  int64_t killed_before_ = 0;
  std::optional<ChildEnd> end_;
};

// "was killed by signal 9 (Killed): ...", "ended with exit code 79".
std::string text_of(const ChildEnd& end);

}  // namespace tw
