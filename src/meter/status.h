// RUN/status.json: what became of a run, for launchers and people (mpirun hides the exit codes of its ranks).
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace tw {

enum class RunState { running, done, failed, stopped };  // stopped: saved on request or at a budget
std::string_view name_of(RunState state);

struct RunStatus {
  RunState state = RunState::running;
  std::string command;  // as it was started
  int exit_code = 0;    // null in the file while running
  std::string reason;   // one sentence
  int64_t step = 0, steps = 0;
  int ranks = 1;
  std::string host;  // filled in by write_status where empty, as are pid, started and updated
  int64_t pid = 0;
  double started = 0;  // unix seconds
  double updated = 0;
  std::string version;
};

// Error(cannot_create) or Error(io), as write_file_atomically.
void write_status(const std::filesystem::path& folder, RunStatus status);
// The state that belongs to an exit code: 0 done; 75 and 77 stopped; else failed.
RunState state_of(int exit_code);
// Nothing where there is none; Error(data) where it is damaged.
std::optional<RunStatus> read_status(const std::filesystem::path& folder);

std::string program_version();  // "0.1.0"

}  // namespace tw
