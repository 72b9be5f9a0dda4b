// A part of the storm: its arguments, its figure, its small training run.
#pragma once
#include <chrono>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "src/checkpoint/checkpoint.h"
#include "tests/support/process.h"

namespace tw::storm {

struct PartOptions {
  double minutes = 0;    // after which no new work is begun
  uint64_t seed = 1;
  bool brief = false;    // --short: what tests/run has time for
  std::string only;      // --only WORD: a part's own choice
};
// Ends the program with code 64 on words it does not know.
PartOptions part_options(int argc, char** argv, double minutes);

class Stopwatch {
 public:
  double seconds() const;
 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// The line of a figure (README.md) on standard output.
void print_figure(const std::string& figure, const std::string& goal, const std::string& value, bool met, double seconds,
                  const nlohmann::json& numbers);

// SHA-256 over all tensors of a checkpoint that are in `slots`: names, shapes and bytes.
std::string sha256_of(const Checkpoint& checkpoint, const std::vector<std::string>& slots = {"weight", "m", "v"});

// A folder in memory where there is one (/dev/shm), else as TemporaryFolder. Removed at the end.
class FastFolder {
 public:
  FastFolder();
  ~FastFolder();
  FastFolder(const FastFolder&) = delete;
  FastFolder& operator=(const FastFolder&) = delete;
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

// `tokenwerk train` of a model of some thousand parameters on made-up tokens.
class TinyRun {
 public:
  // Token file in `folder`.
  explicit TinyRun(const std::filesystem::path& folder);
  using Words = std::vector<std::string>;
  // Arguments of tokenwerk: `steps` steps, a checkpoint every `interval`, the newest `keep` are kept. In the background (the default)
  // a save that falls due while one is under way is left out.
  Words train(const std::filesystem::path& run, int steps, int interval, int keep, bool background = true) const;
  // Before them: nothing for ranks = 0, else mpirun with its sockets and shared memory in `scratch`.
  static Words start(int ranks, const std::filesystem::path& scratch);
  static std::vector<std::pair<std::string, std::string>> environment();

 private:
  std::filesystem::path tokens_;
};

}  // namespace tw::storm
