// MANIFEST: the JSON record of a checkpoint, with a checksum of itself on its last line.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "src/checkpoint/checkpoint.h"

namespace tw {

inline constexpr int kCheckpointVersion = 2;  // of checkpoints of adapters; others are version 1, as ever
inline constexpr int64_t kBlockBytes = int64_t(1) << 20;  // of a file, each with its CRC32C

// Elements [begin, end) of a tensor, at byte `offset` of their shard, little-endian fp32.
struct StoredPiece {
  std::string name, slot;
  Shape shape;
  int64_t begin = 0, end = 0, offset = 0;
  uint64_t xxh3 = 0;
  int64_t bytes() const noexcept { return (end - begin) * int64_t(sizeof(float)); }
};

struct StoredFile {
  std::string file;  // plain name in the checkpoint's folder
  int64_t bytes = 0;
  std::vector<uint32_t> blocks;     // CRC32C of each kBlockBytes, the last one may be shorter
  std::vector<StoredPiece> pieces;  // by offset, not overlapping; none in model.h5
};

struct Manifest {
  CheckpointInfo info;
  int64_t attempt = 0;
  std::string build, written;
  std::vector<StoredFile> shards;
  StoredFile view;  // model.h5
};

std::string to_text(const Manifest& manifest);
// The text may come from anyone: every size, name and range is checked. Error(data) naming `path` and the field.
// What it returns covers each tensor exactly once.
Manifest parse_manifest(const std::string& text, const std::filesystem::path& path);
Manifest read_manifest(const std::filesystem::path& checkpoint_folder);  // Error(data), Error(no_input)

// One shard's entry, for the way from a rank to rank 0.
std::string to_text(const StoredFile& file);
StoredFile parse_stored_file(const std::string& text);

// Error(data) where a tensor is not covered exactly once or its pieces disagree on its shape. `what` begins the text.
void check_coverage(const std::vector<StoredFile>& shards, const std::string& what);

}  // namespace tw
