// Other programs, run by tests.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace tw {

struct Ended {
  int code = -1;        // exit code; 128 + n where signal n ended it
  std::string out, err; // what it wrote
};

struct ProcessOptions {
  std::vector<std::pair<std::string, std::string>> environment;  // added to this process's
  std::filesystem::path folder;  // to run in; "" = here
  // Called about every 10 ms while it runs, with its process id.
  std::function<void(int pid)> watch;
  int64_t file_size_limit = 0;   // RLIMIT_FSIZE, bytes; 0 = none
};

// words[0] is the program (a path, or looked up in PATH). Standard input is empty.
Ended run_process(const std::vector<std::string>& words, const ProcessOptions& options = {});

// A folder that is removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace tw
