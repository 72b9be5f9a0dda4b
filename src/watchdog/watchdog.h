// Ends a job of several ranks in which one is lost, stopped or hangs: names it, dumps the stacks of all that can be reached,
// and leaves with 69 or 80. In each rank a thread of its own, and datagrams beside MPI (docs/watchdog.md).
#pragma once
#include <filesystem>
#include <functional>
#include <string>

#include "comm/communicator.h"
#include "src/core/error.h"

namespace tw {

struct WatchdogOptions {
  double timeout_seconds = 10;   // all waiting times follow from it (Patience in detector.h)
  std::filesystem::path folder;  // where stacks-rank-N.txt is written
  std::function<void(ExitCode code, const std::string& reason)> record;  // of the run; called by the watchdog's thread
};

// One a process. The calling thread is the one that is watched. Collective over world, which must be the job's and outlive
// the watchdog; nothing happens where it is a single rank. Error(config) where there can be no socket.
void start_watchdog(Communicator& world, const WatchdogOptions& options);
// Collective, at the end of a job that went well.
void end_watchdog(Communicator& world);
// This rank is about to end the job by an error of its own: the others shall not take that for a loss. Where MPI says that
// another rank is lost (code peer_lost) the watchdog is given the time to name it; then this does not return.
void leave_watchdog(ExitCode code);

// All ranks run the same program, or Error(bug) naming the ranks that do not. Collective.
void check_same_build(Communicator& world);

// Prometheus text: what rank 0 knows of all ranks; "" elsewhere and where there is no watchdog.
std::string watchdog_metrics();

}  // namespace tw
