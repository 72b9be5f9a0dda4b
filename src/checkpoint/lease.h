// The lease of a run folder: one process at a time may write below it. Its token, higher with every holder, is the
// attempt number in the names of checkpoint folders, so two attempts never write to the same folder.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace tw {

class Communicator;

// The file lease.a<token> in the folder says who holds it; the highest token counts. It appears by link(2), which
// succeeds for one process only, on network file systems too; no file lock is relied on. A lease is taken over when
// it was released, when its process is dead (same host and boot), when its host was started anew, or when this is a
// later start of its job: by launch/supervise (TW_JOB, and TW_JOB_START, which counts), or by Slurm, which requeued it.
class RunLease {
 public:
  // Error(fenced) naming host, process and start of the holder; Error(cannot_create) where the folder is not writable.
  static RunLease acquire(const std::filesystem::path& folder);
  RunLease(RunLease&& other) noexcept;
  RunLease& operator=(RunLease&& other) noexcept;
  ~RunLease();  // releases; logs what fails

  int64_t token() const noexcept { return token_; }
  const std::filesystem::path& file() const noexcept { return file_; }
  // Error(fenced) where another process has taken it over, Error(io) where that cannot be seen.
  void check() const;
  void release();

 private:
  RunLease() noexcept = default;
  std::filesystem::path folder_, file_;
  std::string content_;
  int64_t token_ = 0;
};

// Collective: rank 0 holds the lease and the others get nothing; every rank throws the same error.
std::optional<RunLease> acquire_lease(const std::filesystem::path& folder, Communicator& comm);

}  // namespace tw
