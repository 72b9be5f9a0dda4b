#include "src/cli/run_folder.h"

#include <mutex>

#include "comm/communicator.h"
#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/log.h"

namespace tw {
namespace {
// Outlives the folder's object, so that an error can still be recorded when the stack is unwound.
struct Unfinished {
  std::filesystem::path path;
  RunStatus status;
};
std::mutex mutex;  // the watchdog's thread records, too
std::optional<Unfinished> unfinished;
constexpr double kStatusEvery = 2;  // seconds
}  // namespace

RunFolder::RunFolder(const std::filesystem::path& path, const std::string& command, Communicator& comm)
    : path_(path), leader_(comm.rank() == 0) {
  TW_CHECK(!path.empty(), config, "no run folder was given: --out RUN");
  lease_ = acquire_lease(path, comm);
  status_ = {.command = command, .ranks = comm.size(), .started = unix_seconds(), .version = program_version()};
  if (leader_) write(RunState::running, 0, "");
  const std::lock_guard lock(mutex);
  unfinished = {path_, status_};
}

void RunFolder::write(RunState state, int exit_code, const std::string& reason) {
  status_.state = state;
  status_.exit_code = exit_code;
  status_.reason = reason;
  status_.updated = unix_seconds();
  write_status(path_, status_);
  written_ = now_seconds();
}

void RunFolder::at_step(int64_t step, int64_t steps) {
  status_.step = step;
  status_.steps = steps;
  {
    const std::lock_guard lock(mutex);
    unfinished = {path_, status_};
  }
  if (!leader_ || now_seconds() - written_ < kStatusEvery) return;
  try {
    write(RunState::running, 0, "");
  } catch (const Error& e) {  // a full disk must not end the run
    written_ = now_seconds();
    log_debug("status.json was not written: {}", e.what());
  }
}

void RunFolder::finish(ExitCode code, const std::string& reason) {
  if (leader_) write(state_of(int(code)), int(code), reason);
  const std::lock_guard lock(mutex);
  unfinished.reset();
}

void record_failure(ExitCode code, const std::string& text, int rank) noexcept {
  std::optional<Unfinished> recorded;
  {
    const std::lock_guard lock(mutex);
    recorded.swap(unfinished);
  }
  if (!recorded || code == ExitCode::fenced) return;  // fenced: the file belongs to the other run now
  try {
    // The first reason is the reason: what other ranks see of it comes later.
    if (const auto there = read_status(recorded->path); there && there->state != RunState::running) return;
  } catch (const Error&) {  // damaged: written anew
  }
  try {
    RunStatus& status = recorded->status;
    status.state = state_of(int(code));
    status.exit_code = int(code);
    status.reason = rank > 0 ? fmt::format("rank {}: {}", rank, text) : text;
    status.updated = unix_seconds();
    write_status(recorded->path, status);
  } catch (...) {
    log_warning("status.json in {} was not written", recorded->path.string());
  }
}

}  // namespace tw
