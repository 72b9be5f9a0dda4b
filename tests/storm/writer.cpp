// A run that only saves: power_loss records its calls.
//   storm_writer RUN RANKS FIRST LAST release|leave      saves steps FIRST to LAST on RANKS threads into RUN/checkpoints and keeps 2
// release: gives the lease back at the end; leave: ends without.
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>

#include "src/core/error.h"
#include "tests/checkpoint/fixture.h"
#include "tests/storm/toy_run.h"
#include "tests/support/thread_comm.h"

int main(int argc, char** argv) {
  using namespace tw;
  try {
    TW_CHECK(argc == 6, config, "storm_writer RUN RANKS FIRST LAST release|leave");
    const std::filesystem::path run = argv[1];
    const int ranks = std::stoi(argv[2]);
    run_ranks(ranks, [&](Communicator& comm) {
      std::optional<RunLease> lease = acquire_lease(run, comm);
      for (int64_t step = std::stoll(argv[3]); step <= std::stoll(argv[4]); ++step) {
        CheckpointOptions options;
        options.folder = run / "checkpoints", options.keep_latest_k = storm::kToyKept, options.lease = lease ? &*lease : nullptr;
        const ToySlices mine = toy_slices(Layout::even, step, comm.rank(), ranks, storm::kToyElements);
        save_checkpoint(options, toy_info(step), mine.slices, comm);
      }
      if (lease && std::string(argv[5]) == "leave") ::_exit(0);
    });
    return 0;
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return int(e.code());
  }
}
