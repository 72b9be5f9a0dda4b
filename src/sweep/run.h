// Trials as child processes of this one.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "src/core/error.h"
#include "src/sweep/sweep.h"

namespace tw {

struct SweepRun {
  std::filesystem::path executable;  // tokenwerk
  std::filesystem::path launcher;    // launch/run, for trials of several ranks
  int parallel = 1;
  int threads = 0;             // of a rank; 0 = as the trial's settings say
  bool retry_failed = false;
  bool show_progress = false;
  // After each change of a trial's state.
  std::function<void()> changed;
};

// This program, and launch/run beside it or in TW_LAUNCH. Error(no_input) where ranks > 1 and there is none.
std::filesystem::path own_executable();
std::filesystem::path find_launcher(const std::filesystem::path& executable, int ranks);

// Runs those of the trials that are not done; failed ones only where they are to be retried. A trial that fails does
// not stop the others. A stop signal is passed on: all are saved and the result is requeue. Else ok; where no trial of
// the whole sweep is done, the code of the first that failed. Errors that are no trial's: Error(no_input) where the
// program cannot be started, Error(io) and Error(cannot_create) where records cannot be written; trials under way are
// stopped first.
ExitCode run_trials(Sweep& sweep, const std::vector<int>& numbers, const SweepRun& run);

// The numbers that run_trials would run: of all trials.
std::vector<int> unfinished_trials(const Sweep& sweep, bool retry_failed);

// sweep.sbatch in the sweep's folder: an array job with a task for each of the trials, that starts itself again until
// its trial is done.
std::string slurm_script(const Sweep& sweep, const std::vector<int>& numbers, const SweepRun& run);

}  // namespace tw
