// Checkpoints: one HDF5 shard a rank and a MANIFEST whose existence is the commit.
// Format, commit protocol and guarantees: docs/checkpoint_format.md.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "src/checkpoint/lease.h"
#include "src/core/tensor.h"

namespace tw {

// Elements [begin, end) of the flattened logical tensor `name` in one of its slots: "weight" (fp32
// master), "m", "v". Any layout of slices that covers each element once is a layout.
struct TensorSlice {
  std::string name;    // letters, digits and . _ - only
  std::string slot;
  Shape shape;         // of the whole logical tensor
  int64_t begin = 0, end = 0;
  ConstView data;      // (end - begin) fp32, host memory
};

inline constexpr double kUnknownLoss = std::numeric_limits<double>::quiet_NaN();

// Everything beside the tensors. The same on every rank.
struct CheckpointInfo {
  int64_t step = 0;     // optimiser steps done
  int64_t samples = 0;  // samples and tokens consumed
  int64_t tokens = 0;
  double joules = -1;   // spent so far; negative = no meter
  double validation_loss = kUnknownLoss;  // of an evaluation at this step
  std::string model_json;    // ModelConfig (src/nn/model_config.h)
  std::string config_toml;   // the resolved configuration
  std::string trainer_json;  // state the trainer wants back (outlier windows, skipped steps, ...)
  std::string tokenizer_hash;
  std::string data_fingerprint;
  std::string adapter_json;  // of adapters: AdapterConfig (src/nn/adapter.h), and WeightsHash of their base (base.h); else empty
  std::string base_hash;
};

// A save under way, seen from outside.
struct SaveWatch {
  // Where it becomes true, the save ends at its next block or wait with Error(peer_lost).
  std::atomic<bool> given_up{false};
  // Of this rank's shard, when the save is over.
  double write_seconds = 0;      // sums, writing and flushing
  double read_back_seconds = 0;
};

struct CheckpointOptions {
  std::filesystem::path folder;  // holds step-XXXXXXXX.aN/ folders
  int keep_latest_k = 3;         // older ones go after a newer commit was verified; never below 1
  int64_t keep_every = 0;        // steps divisible by it stay; 0 = none
  bool keep_best = false;        // the one of the lowest validation loss stays
  std::vector<std::string> damaged = {};  // names of folders that do not count as kept (Checkpoint::passed_over)
  // The run's lease; read on rank 0 only. Its token is the attempt in folder names, and it must still be this
  // process's at the moment of the commit. Without one, a lease on `folder` is taken for the time of the call.
  const RunLease* lease = nullptr;
  SaveWatch* watch = nullptr;
};

// Collective over `comm`: every rank writes its slices; returns the committed folder on every rank. Blocks.
// On failure of any rank nothing is committed, litter is removed, and every rank throws the same
// error (Error(io), Error(cannot_create), Error(fenced)).
// A slice outside its tensor, or tensors not covered exactly once, are Error(bug).
std::filesystem::path save_checkpoint(const CheckpointOptions& options, const CheckpointInfo& info,
                                      const std::vector<TensorSlice>& slices, Communicator& comm);

struct Manifest;

// A committed, checksum-verified checkpoint opened for reading.
class Checkpoint {
 public:
  // `path`: a checkpoint folder, a folder of checkpoints, or a run folder (has checkpoints/). FOLDER/best, where there is no
  // such file, is the one of the lowest validation loss, and no other stands in for it. Takes the
  // newest whose sums match; a damaged one is named with shard, tensor and block, and the one before is taken.
  // Error(no_input) where there is none, Error(data) where none is whole.
  // Newest: highest attempt, then highest step. verify = false reads no tensor, only MANIFEST and file sizes.
  static Checkpoint open(const std::filesystem::path& path, bool verify = true);
  // As open, but nothing where there is no checkpoint at all.
  static std::optional<Checkpoint> open_newest(const std::filesystem::path& folder);

  const CheckpointInfo& info() const noexcept;
  const std::filesystem::path& folder() const noexcept { return folder_; }
  // Names of newer ones that were found damaged; of open_checkpoint, on rank 0 alone.
  const std::vector<std::string>& passed_over() const noexcept { return passed_over_; }
  struct TensorInfo { std::string name, slot; Shape shape; };
  const std::vector<TensorInfo>& tensors() const noexcept { return tensors_; }  // weights first, by name
  // Copies elements [begin, end) into out (fp32, host). Error(data) naming what is missing.
  void read(const std::string& name, const std::string& slot, int64_t begin, int64_t end, View out) const;

 private:
  friend std::optional<Checkpoint> open_checkpoint(const std::filesystem::path&, Communicator&);
  struct Piece { std::string key; int64_t begin, end, offset; size_t shard; };  // key: slot/name
  Checkpoint(std::filesystem::path folder, std::shared_ptr<const Manifest> manifest, std::vector<std::string> passed_over);

  std::filesystem::path folder_;
  std::vector<std::string> passed_over_;
  std::shared_ptr<const Manifest> manifest_;
  std::vector<TensorInfo> tensors_;
  std::vector<Piece> pieces_;  // by key, then begin
};

// Collective form of open_newest: the ranks share the reading of a verification, and all take the same checkpoint or
// throw the same error. On every rank the folder must be the same.
std::optional<Checkpoint> open_checkpoint(const std::filesystem::path& path, Communicator& comm);

// The lowest validation loss of the checkpoints in a folder, infinite where none has one.
double lowest_validation_loss(const std::filesystem::path& folder);

// What the verify and inspect commands show.
struct CheckpointReport {
  struct Shard { std::string file; int64_t bytes = 0; bool ok = true; };
  struct TensorState { std::string name, slot; Shape shape; int pieces = 0; bool ok = true; };
  std::filesystem::path folder;
  CheckpointInfo info;
  std::string build;    // of the program that wrote it
  std::string written;  // wall-clock time
  int64_t attempt = 0;
  bool verified = false;             // all bytes were read
  std::vector<Shard> shards;         // model.h5 too
  std::vector<TensorState> tensors;
  std::vector<std::string> damage;   // one sentence each; empty = nothing was found
  bool ok() const noexcept { return damage.empty(); }
};
// The checkpoint at `path`, or the newest committed one below it, damaged or not. read_data = false checks MANIFEST
// and file sizes only. Error(no_input) where there is none, Error(data) where its MANIFEST cannot be read.
CheckpointReport verify_checkpoint(const std::filesystem::path& path, bool read_data = true);
std::string describe(const CheckpointReport& report);  // for people, several lines

}  // namespace tw
