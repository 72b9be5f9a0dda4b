#include "src/checkpoint/retention.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <system_error>
#include <vector>

#include "src/checkpoint/manifest.h"
#include "src/checkpoint/names.h"
#include "src/checkpoint/shard.h"
#include "src/core/error.h"
#include "src/core/fault.h"
#include "src/core/file.h"
#include "src/core/log.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

// Files that a save makes: shard-*.h5, model.h5, MANIFEST, each also with .tmp.
bool is_ours(std::string_view file) {
  if (file.ends_with(kTemporaryEnd)) file.remove_suffix(kTemporaryEnd.size());
  return file == kManifestName || file == kModelViewName || (file.starts_with("shard-") && file.ends_with(".h5"));
}

void empty_trash(const fs::path& folder) {
  std::error_code e;
  fs::remove_all(folder / kTrashName, e);
  if (e) log_warning("cannot remove {}: {}", (folder / kTrashName).string(), e.message());
}

// Cheap: what a checkpoint needs to count as one that can be fallen back to.
bool looks_whole(const fs::path& checkpoint) {
  try {
    const Manifest manifest = read_manifest(checkpoint);
    return std::all_of(manifest.shards.begin(), manifest.shards.end(), [&](const StoredFile& shard) {
      return verify_stored_file(checkpoint, shard, false).sentences.empty();
    });
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void remove_unfinished(const fs::path& checkpoint) {
  std::error_code e;
  // Where the disk does not answer it may be a checkpoint after all.
  if (fs::exists(checkpoint / kManifestName, e) || e) return;
  std::vector<fs::path> ours;
  fs::directory_iterator entries(checkpoint, e);
  for (; !e && entries != fs::directory_iterator(); entries.increment(e)) {
    if (entries->path().filename() == kManifestName) return;
    if (!is_ours(entries->path().filename().string()) || entries->is_directory(e)) {
      log_warning("{} is an unfinished checkpoint, but holds {}, which no save made: it stays", checkpoint.string(),
                  entries->path().filename().string());
      return;
    }
    ours.push_back(entries->path());
  }
  for (const fs::path& file : ours)
    if (!e) fs::remove(file, e);
  if (!e) fs::remove(checkpoint, e);
  if (e && e != std::errc::no_such_file_or_directory)
    log_warning("cannot remove the unfinished checkpoint {}: {}", checkpoint.string(), e.message());
}

void sweep_litter(const fs::path& folder) {
  empty_trash(folder);
  for (const CheckpointFolder& c : list_checkpoints(folder))
    if (!c.committed) remove_unfinished(c.path);
  std::error_code e;
  fs::directory_iterator entries(folder, e);
  for (; !e && entries != fs::directory_iterator(); entries.increment(e)) {
    std::error_code ignored;
    if (entries->path().filename().string().ends_with(kTemporaryEnd) && entries->is_regular_file(ignored))
      fs::remove(entries->path(), ignored);
  }
}

void move_to_trash(const fs::path& folder, const fs::path& checkpoint) {
  const fs::path trash = folder / kTrashName;
  make_folders(trash);
  std::error_code e;
  fs::remove_all(trash / checkpoint.filename(), e);
  fault_point("checkpoint.during_retention");
  fs::rename(checkpoint, trash / checkpoint.filename(), e);
  TW_CHECK(!e, io, "cannot move {} to {}: {}", checkpoint.string(), trash.string(), e.message());
  fsync_path(folder);
  fault_point("checkpoint.during_retention");
}

BestCheckpoint find_best(const fs::path& folder, const std::vector<std::string>& damaged) {
  BestCheckpoint best;
  for (const CheckpointFolder& c : list_checkpoints(folder)) {
    if (!c.committed || std::find(damaged.begin(), damaged.end(), c.name.str()) != damaged.end()) continue;
    try {
      const double loss = read_manifest(c.path).info.validation_loss;
      if (std::isfinite(loss) && (best.path.empty() || loss < best.loss)) best = {c.path, loss};
    } catch (const Error&) {  // opening it would name what is wrong
    }
  }
  return best;
}

void retain(const fs::path& folder, const fs::path& committed, const Retention& rules) {
  const fs::path best = rules.keep_best ? find_best(folder, rules.damaged).path : fs::path();
  int whole = 0;
  for (const CheckpointFolder& c : list_checkpoints(folder)) {
    if (!c.committed) continue;
    const bool damaged = std::find(rules.damaged.begin(), rules.damaged.end(), c.name.str()) != rules.damaged.end();
    const bool wanted = c.path.filename() == committed.filename() || whole < std::max(rules.keep_latest_k, 1) || c.path == best ||
                        (rules.keep_every > 0 && c.name.step % rules.keep_every == 0);
    if (whole < rules.keep_latest_k && !damaged && looks_whole(c.path)) ++whole;
    if (wanted) continue;
    move_to_trash(folder, c.path);
    log_debug("removed checkpoint {}", c.path.string());
  }
  empty_trash(folder);
}

}  // namespace tw
