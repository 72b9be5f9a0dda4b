// Going back to a checkpoint within a run, and its record.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "src/checkpoint/checkpoint.h"
#include "src/train/integrity.h"

namespace tw {

// The newest whole checkpoint in `folder` that holds a trainer's state of at most `most_steps`; nothing where there is none. Collective.
// Newer ones are no longer what the run goes on from: rank 0 moves them out of the way.
std::optional<Checkpoint> go_back(const std::filesystem::path& folder, int64_t most_steps, Communicator& comm);

// Batches left out after a rollback from `step` to a checkpoint of `saved` steps for a spike: twice as many as were trained on since, at least
// 10, and twice as many again with each further try, so that what made the loss rise lies among them (Chowdhery et al. 2022, arXiv:2204.02311
// section 5.1: about 100 steps back, 200 to 500 batches left out).
int64_t batches_to_leave_out(int64_t saved, int64_t step, int tries) noexcept;

// RUN/integrity.jsonl: one object an alarm or rollback, over all starts. A full disk costs lines, with a warning, never the run.
class IntegrityLog {
 public:
  explicit IntegrityLog(std::filesystem::path folder) : path_(std::move(folder) / "integrity.jsonl") {}
  void add(const Alarm& alarm) noexcept;
  void add_rollback(int64_t from, int64_t to, int64_t batches_left_out, const std::string& why) noexcept;

 private:
  void append(const nlohmann::json& line) noexcept;
  std::filesystem::path path_;
};

}  // namespace tw
