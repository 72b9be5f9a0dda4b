// What is removed: litter of attempts that never committed, and checkpoints that are no longer kept.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tw {

// Removes unfinished checkpoint folders, *.tmp in `folder`, and the trash. Never a folder with a MANIFEST, and no file
// that a save did not make: a folder that holds another one stays and is named. The caller holds the lease.
void sweep_litter(const std::filesystem::path& folder);
// Removes one unfinished folder, as sweep_litter does.
void remove_unfinished(const std::filesystem::path& checkpoint);

// A checkpoint that is no longer wanted leaves the list of `folder` at once, and the disk with the next save. Error(io), Error(cannot_create).
void move_to_trash(const std::filesystem::path& folder, const std::filesystem::path& checkpoint);

// Keeps the newest `keep_latest_k` checkpoints that look whole (MANIFEST readable, files there in their size),
// those of steps divisible by keep_every (0 = none), the one of the lowest validation loss (keep_best), and `committed`, the
// one just saved. What `damaged` names is none of them. The others are moved to .trash first, so that a removal that is cut
// short leaves nothing that looks like a checkpoint.
struct Retention {
  int keep_latest_k = 3;
  int64_t keep_every = 0;
  bool keep_best = false;
  std::vector<std::string> damaged = {};
};
void retain(const std::filesystem::path& folder, const std::filesystem::path& committed, const Retention& rules);

// The committed checkpoint of the lowest validation loss, the newest of equal ones; empty where none has one.
struct BestCheckpoint {
  std::filesystem::path path;
  double loss = 0;
};
BestCheckpoint find_best(const std::filesystem::path& folder, const std::vector<std::string>& damaged = {});

}  // namespace tw
