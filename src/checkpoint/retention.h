// What is removed: litter of attempts that never committed, and checkpoints that are no longer kept.
#pragma once
#include <cstdint>
#include <filesystem>

namespace tw {

// Removes unfinished checkpoint folders, *.tmp in `folder`, and the trash. Never a folder with a MANIFEST, and no file
// that a save did not make: a folder that holds another one stays and is named. The caller holds the lease.
void sweep_litter(const std::filesystem::path& folder);
// Removes one unfinished folder, as sweep_litter does.
void remove_unfinished(const std::filesystem::path& checkpoint);

// Keeps the newest `keep_latest_k` checkpoints that look whole (MANIFEST readable, files there in their size),
// those of steps divisible by keep_every (0 = none), and `committed`, the one just saved. The others are moved to
// .trash first, so that a removal that is cut short leaves nothing that looks like a checkpoint.
void retain(const std::filesystem::path& folder, const std::filesystem::path& committed, int keep_latest_k,
            int64_t keep_every);

}  // namespace tw
