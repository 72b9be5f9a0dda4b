// The two-phase commit: every rank writes its shard and votes; rank 0 writes MANIFEST where all said yes.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "src/checkpoint/checkpoint.h"
#include "src/checkpoint/layout.h"
#include "src/checkpoint/manifest.h"
#include "src/checkpoint/names.h"
#include "src/checkpoint/retention.h"
#include "src/checkpoint/shard.h"
#include "src/checkpoint/vote.h"
#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/fault.h"
#include "src/core/file.h"
#include "src/core/log.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

std::string build_id() { return "tokenwerk " TW_VERSION ", compiler " __VERSION__; }

void check_slice(const TensorSlice& s) {
  TW_CHECK(is_plain_name(s.name) && is_plain_name(s.slot) && s.name != "optimizer", bug,
           "checkpoint: \"{}\" ({}) cannot be a tensor's name", s.name, s.slot);
  TW_CHECK(0 <= s.begin && s.begin <= s.end && s.end <= s.shape.count(), bug,
           "checkpoint: [{}, {}) is not a range of {} ({}), a tensor {}", s.begin, s.end, s.name, s.slot, s.shape.str());
  TW_CHECK(s.begin == s.end || (s.data.dtype == DType::fp32 && s.data.device.is_cpu() &&
                                s.data.count() == s.end - s.begin),
           bug, "checkpoint: the data of {} ({}) is {} {}, not {} fp32 in host memory", s.name, s.slot,
           name_of(s.data.dtype), s.data.shape.str(), s.end - s.begin);
}

// One rank's shard; its entry for MANIFEST, or "" where the rank has nothing to save.
std::string save_shard(const fs::path& checkpoint, const std::vector<TensorSlice>& slices, const Communicator& comm,
                       SaveWatch* watch) {
  std::vector<std::pair<StoredPiece, const void*>> parts;
  std::set<std::string> places;
  for (const TensorSlice& s : slices) {
    check_slice(s);
    if (s.begin == s.end) continue;
    TW_CHECK(places.insert(fmt::format("{}/{}/{}", s.slot, s.name, s.begin)).second, bug,
             "checkpoint: element {} of {} ({}) is given twice", s.begin, s.name, s.slot);
    parts.push_back({StoredPiece{s.name, s.slot, s.shape, s.begin, s.end}, s.data.data});
  }
  if (parts.empty()) return "";
  StoredFile file;
  file.file = shard_name(comm.rank(), comm.size());
  for (const auto& part : parts) file.pieces.push_back(part.first);
  fault_point("checkpoint.before_layout");
  const FileLayout layout = lay_out_shard(file.pieces);
  // The layout ordered the pieces by their places; the memory follows.
  std::map<std::tuple<std::string, std::string, int64_t>, const void*> memory;
  for (const auto& [piece, data] : parts) memory[{piece.slot, piece.name, piece.begin}] = data;
  std::vector<const void*> data;
  for (const StoredPiece& p : file.pieces) data.push_back(memory.at({p.slot, p.name, p.begin}));
  write_stored_file(checkpoint, file, layout, data, watch);
  return to_text(file);
}

// Rank 0 must see every shard before it promises anything: a folder that is not shared would hide some.
void require_visible(const fs::path& checkpoint, const StoredFile& file) {
  FileDamage damage;
  for (int attempt = 0; attempt < 4; ++attempt) {
    if (attempt) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    damage = verify_stored_file(checkpoint, file, false);
    if (damage.sentences.empty()) return;
  }
  TW_FAIL(io, "{}: {}, seen from rank 0 (is the folder on a file system that all ranks share?)", checkpoint.string(),
          damage.sentences[0]);
}

// Removes MANIFEST again where its way to the disk failed: what was not promised must not be found.
void write_manifest(const fs::path& checkpoint, const Manifest& manifest) {
  const fs::path path = checkpoint / kManifestName, temporary = path.string() + std::string(kTemporaryEnd);
  const std::string text = to_text(manifest);
  try {
    write_flushed(temporary, text);
    TW_CHECK(read_file(temporary) == text, io, "{} was written but reads back differently", temporary.string());
    fault_point("checkpoint.after_manifest_tmp");
    rename_file(temporary, path);
    fsync_path(checkpoint);
    fsync_path(checkpoint.parent_path());
  } catch (...) {
    ::unlink(path.c_str());
    ::unlink(temporary.c_str());
    throw;
  }
}

// Makes the folder of this save and returns its path.
fs::path begin_save(const CheckpointOptions& options, const RunLease& lease, int64_t step) {
  TW_CHECK(options.keep_latest_k >= 1, config, "checkpoint.keep_latest_k = {} must be at least 1", options.keep_latest_k);
  TW_CHECK(step >= 0 && step < int64_t(1e17), bug, "checkpoint: step {}", step);
  lease.check();
  make_folders_durably(options.folder);
  sweep_litter(options.folder);
  CheckpointName name{lease.token(), step, 1};
  while (fs::exists(options.folder / name.str())) ++name.repeat;
  const fs::path checkpoint = options.folder / name.str();
  make_folders(checkpoint);
  return checkpoint;
}

void commit(const fs::path& checkpoint, const RunLease& lease, const CheckpointInfo& info,
            const std::vector<Vote>& votes) {
  Manifest manifest;
  manifest.info = info;
  manifest.attempt = lease.token();
  manifest.build = build_id();
  manifest.written = iso_time(unix_seconds());
  for (const Vote& vote : votes)
    if (!vote.text.empty()) manifest.shards.push_back(parse_stored_file(vote.text));
  try {
    check_coverage(manifest.shards, "checkpoint");
  } catch (const Error& e) {
    TW_FAIL(bug, "{}", e.what());  // the caller's slices are wrong, not a file
  }
  for (const StoredFile& shard : manifest.shards) require_visible(checkpoint, shard);
  manifest.view = write_stored_file(checkpoint, std::string(kModelViewName), lay_out_model_view(manifest.shards));
  fsync_path(checkpoint);
  fault_point("checkpoint.before_manifest");
  lease.check();  // the last look: whoever took the folder over must not find our commit
  write_manifest(checkpoint, manifest);
}

}  // namespace

fs::path save_checkpoint(const CheckpointOptions& options, const CheckpointInfo& info,
                         const std::vector<TensorSlice>& slices, Communicator& comm) {
  const bool first = comm.rank() == 0;
  const std::atomic<bool>* given_up = options.watch ? &options.watch->given_up : nullptr;
  std::optional<RunLease> own;
  const RunLease* lease = options.lease;
  Vote vote;
  if (first)
    vote = cast_vote([&] {
      if (!lease) lease = &own.emplace(RunLease::acquire(options.folder));
      return begin_save(options, *lease, info.step).string();
    });
  const fs::path checkpoint = decide(comm, vote, given_up);

  vote = cast_vote([&] { return save_shard(checkpoint, slices, comm, options.watch); });
  const std::vector<Vote> votes = gather_votes(comm, vote, given_up);
  if (first) vote = cast_vote([&] { return require_all(votes), commit(checkpoint, *lease, info, votes), std::string(); });
  if (first && !vote.ok()) remove_unfinished(checkpoint);
  decide(comm, vote, given_up);

  // Committed. What goes wrong from here on costs nothing but space.
  if (first) {
    try {
      fault_point("checkpoint.after_commit");
      retain(options.folder, checkpoint,
             {.keep_latest_k = options.keep_latest_k, .keep_every = options.keep_every, .keep_best = options.keep_best, .damaged = options.damaged});
      if (own) own->release();
    } catch (const std::exception& e) {
      log_warning("after the checkpoint {} was saved: {}", checkpoint.string(), e.what());
    }
  }
  return checkpoint;
}

}  // namespace tw
