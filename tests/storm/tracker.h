// Which commits of a run must be there: every one that was seen or told, less those damaged by the storm itself and those
// that retention may remove.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "src/checkpoint/names.h"

namespace tw::storm {

class Tracker {
 public:
  // `states`: sha256_of by step in the run that nobody touched. `keep`: checkpoint.keep_latest_k.
  Tracker(std::filesystem::path run, const std::map<int64_t, std::string>& states, int keep);

  void look();  // takes note of what is committed now; may be called while the run works
  // While nothing works on the run: throws Error(bug) naming what is lost, damaged without our doing, or wrong.
  void check();
  // Flips a bit of, or cuts, a file of the newest commit that is whole; nothing where no other whole one would be left.
  bool damage(std::mt19937_64& random);
  // The one that the next start must go on from.
  std::optional<CheckpointName> newest_whole() const;
  int64_t commits() const { return int64_t(seen_.size()); }
  int64_t damaged() const { return int64_t(flipped_.size() + cut_.size()); }

 private:
  std::filesystem::path folder_;
  const std::map<int64_t, std::string>& states_;
  int keep_;
  std::set<CheckpointName> seen_;
  std::set<CheckpointName> flipped_;  // still counted as kept by the run: their sizes are right
  std::set<CheckpointName> cut_;      // the run sees at once that they are none
  std::set<CheckpointName> retired_;  // found removed when newer ones were enough; later damage does not ask for them again
};

}  // namespace tw::storm
