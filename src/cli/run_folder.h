// A run folder that this process works in: where things lie, the lease, and the state for launchers and people.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "src/checkpoint/lease.h"
#include "src/core/error.h"
#include "src/data/scan.h"
#include "src/meter/status.h"

namespace tw {

class Communicator;

class RunFolder {
 public:
  // Collective: makes the folder, takes its lease and writes status.json (rank 0). Error(cannot_create), Error(fenced).
  RunFolder(const std::filesystem::path& path, const std::string& command, Communicator& comm);
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  std::filesystem::path inventory() const { return path_ / "inventory.json"; }
  std::filesystem::path scan_cache() const { return path_ / "scan.cache"; }
  std::filesystem::path tokenizer() const { return path_ / "tokenizer.json"; }
  std::filesystem::path tokens(Split split) const { return path_ / "tokens" / (std::string(name_of(split)) + ".h5"); }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path evaluation() const { return path_ / "eval.json"; }
  std::filesystem::path samples() const { return path_ / "samples.json"; }
  std::filesystem::path codecs() const { return path_ / "codecs"; }
  // Documents of a codec's kind that the model made: a file, or a folder of them.
  std::filesystem::path artefacts(const std::string& kind) const { return path_ / "samples" / kind; }
  std::filesystem::path report() const { return path_ / "report.html"; }

  const RunLease* lease() const noexcept { return lease_ ? &*lease_ : nullptr; }  // rank 0
  void at_step(int64_t step, int64_t steps);  // rank 0; written to the disk now and then
  void finish(ExitCode code, const std::string& reason);

 private:
  void write(RunState state, int exit_code, const std::string& reason);
  std::filesystem::path path_;
  std::optional<RunLease> lease_;
  RunStatus status_;
  bool leader_;
  double written_ = 0;
};

// Writes an error to the status.json of a run folder that did not come to finish(), if there is one. Any rank, any thread.
// A reason that stands there already stays.
void record_failure(ExitCode code, const std::string& text, int rank) noexcept;

}  // namespace tw
