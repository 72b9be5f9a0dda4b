// Files of a checkpoint on the disk: written with their sums in one pass, read back, and verified later.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "src/checkpoint/layout.h"
#include "src/checkpoint/manifest.h"

namespace tw {

// Writes FILE.tmp, flushes it to the disk, reads it back past the page cache, compares, and renames it.
// `data[i]` is the memory of file.pieces[i]. Fills in the sums. On failure the temporary file is removed:
// Error(cannot_create), Error(io) (disk full: names the file and the bytes that are missing), Error(peer_lost) where
// the watch gave up.
void write_stored_file(const std::filesystem::path& folder, StoredFile& file, const FileLayout& layout,
                       const std::vector<const void*>& data, SaveWatch* watch = nullptr);
// Pieces that hold no tensor; writes `content` the same way.
StoredFile write_stored_file(const std::filesystem::path& folder, const std::string& name, std::string content);

struct FileDamage {
  std::vector<std::string> sentences;                         // each names file, block and tensor
  std::vector<std::pair<std::string, std::string>> tensors;   // (name, slot), sorted
};
// Compares a file with its sums. Reads nothing but the size where read_data is false. Never throws for what is wrong
// with the file. fresh: past the page cache.
FileDamage verify_stored_file(const std::filesystem::path& folder, const StoredFile& file, bool read_data,
                              bool fresh = false);

}  // namespace tw
