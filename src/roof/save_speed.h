// Checkpoints of a configured model as training saves them: against the bare disk, beside training, and read again.
#pragma once
#include <filesystem>
#include <functional>
#include <string>

#include "src/config/load.h"
#include "src/machine/spread.h"
#include "src/roof/prepared_training.h"

namespace tw {

struct SaveSpeedOptions {
  std::filesystem::path folder;  // where checkpoints would lie; what is written there is removed again
  int repeats = 3;
  double interval_seconds = 60;  // from one checkpoint to the next, for the share of time
  double beside_seconds = 20;    // of training that is measured without and with a save beside it, at least
  std::function<void(const std::string& what)> say;  // before each part; may throw
};

// Times are of the slowest rank.
struct SaveSpeed {
  double bytes = 0;          // of all ranks' tensors
  int64_t parameters = 0;
  int ranks = 1, threads = 1;
  double interval_seconds = 60;
  Spread raw;                // the same bytes by pwrite in one file a rank, and fsync: what the disk can do
  Spread write, read_back;   // of a save: sums, writing and flushing; reading back and comparing
  Spread save;               // a whole one, commit included
  Spread verify, load;       // of a restore: opening, with every byte checked; into the trainer
  // Training, in plain steps and with a save in the background.
  Spread stall;              // the copy
  double check_seconds = 0;  // that ranks hold the same weights, before each save
  double step_seconds = 0;   // median of plain steps
  int64_t steps_beside = 0;
  double plain_seconds = 0, beside_seconds = 0;  // of so many steps, the stall left out
  double background_seconds = 0;                 // from the snapshot to the commit

  double of_raw() const { return raw.median > 0 ? raw.median / write.median : 0; }
  double slowdown_seconds() const { return std::max(0.0, beside_seconds - plain_seconds); }
  double lost_seconds() const { return stall.median + check_seconds + slowdown_seconds(); }  // for one save
  double share() const { return lost_seconds() / interval_seconds; }
};

// Collective. Error(config) where the memory does not suffice, Error(io), Error(cannot_create).
SaveSpeed measure_saving(Config& config, Communicator& comm, const Stream& stream, const SaveSpeedOptions& options);
std::string saving_table(const SaveSpeed& speed, const std::string& where);

}  // namespace tw
