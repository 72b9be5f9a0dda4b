// Saves on a thread of its own while the rank goes on: layout, writing, reading back and the commit are all done there.
#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "src/checkpoint/checkpoint.h"

namespace tw {

// How a save ended, the same on every rank.
struct SaveOutcome {
  int64_t step = 0;
  std::filesystem::path folder;  // committed; empty with an error
  ExitCode code = ExitCode::ok;  // of save_checkpoint's error
  std::string error;             // its text
  // On this rank: from the start of the save to the decision; of which for its shard.
  double seconds = 0, write_seconds = 0, read_back_seconds = 0;
  bool ok() const noexcept { return code == ExitCode::ok; }
};

// One rank's writer. At most one save is under way. Its member functions are called by one thread, the trainer's.
class CheckpointWriter {
 public:
  // Collective: the writers talk over a communicator of their own, `comm` stays the trainer's.
  explicit CheckpointWriter(Communicator& comm);
  // A save that is still under way is given up: what it wrote is litter that the next save removes.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // A save was started and has not ended. Ranks may see the end at different moments.
  bool busy() const noexcept { return busy_; }
  // save_checkpoint on the thread. Every rank starts the same save; what the slices look at stays as it is until it has
  // ended. in_background: with the priority of work that nobody waits for.
  void start(const CheckpointOptions& options, const CheckpointInfo& info, std::vector<TensorSlice> slices, bool in_background);
  // The end of the last save, once; nothing where there is none, or it is not taken yet and still under way.
  std::optional<SaveOutcome> take();
  // Waits for it, asleep.
  std::optional<SaveOutcome> wait();

 private:
  std::unique_ptr<Communicator> comm_;
  std::thread thread_;
  std::atomic<bool> busy_{false};
  SaveWatch watch_;
  SaveOutcome outcome_;  // the thread's while busy_
};

}  // namespace tw
