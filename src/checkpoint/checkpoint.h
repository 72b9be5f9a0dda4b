// Checkpoints: one HDF5 shard a rank and a MANIFEST whose existence is the commit.
// Format: docs/checkpoint_format.md.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "src/core/tensor.h"

namespace tw {

// Elements [begin, end) of the flattened logical tensor `name` in one of its slots: "weight" (fp32
// master), "m", "v". Any layout of slices that covers each element once is a layout.
struct TensorSlice {
  std::string name;
  std::string slot;
  Shape shape;         // of the whole logical tensor
  int64_t begin = 0, end = 0;
  ConstView data;      // (end - begin) fp32, host memory
};

// Everything beside the tensors. The same on every rank.
struct CheckpointInfo {
  int64_t step = 0;     // optimiser steps done
  int64_t samples = 0;  // samples and tokens consumed
  int64_t tokens = 0;
  double joules = -1;   // spent so far; negative = no meter
  std::string model_json;    // ModelConfig (src/nn/model_config.h)
  std::string config_toml;   // the resolved configuration
  std::string trainer_json;  // state the trainer wants back (outlier windows, skipped steps, ...)
  std::string tokenizer_hash;
  std::string data_fingerprint;
};

struct CheckpointOptions {
  std::filesystem::path folder;  // holds step-XXXXXXXX.aN/ folders
  int keep_latest_k = 3;         // older ones go after a newer commit was verified; never below 1
  int64_t keep_every = 0;        // steps divisible by it stay; 0 = none
};

// Collective over `comm`: every rank writes its slices; returns the committed folder on every rank. Blocks.
// On failure of any rank nothing is committed, litter is removed, and every rank throws the same
// error (Error(io), Error(cannot_create), Error(fenced)).
std::filesystem::path save_checkpoint(const CheckpointOptions& options, const CheckpointInfo& info,
                                      const std::vector<TensorSlice>& slices, Communicator& comm);

// A committed, checksum-verified checkpoint opened for reading.
class Checkpoint {
 public:
  // `path`: a checkpoint folder, a folder of checkpoints, or a run folder (has checkpoints/). Takes the
  // newest whose sums match; a damaged one is named with shard, tensor and block, and the one before is taken.
  // Error(no_input) where there is none, Error(data) where none is whole.
  static Checkpoint open(const std::filesystem::path& path, bool verify = true);
  // As open, but nothing where there is no checkpoint at all.
  static std::optional<Checkpoint> open_newest(const std::filesystem::path& folder);

  const CheckpointInfo& info() const noexcept { return info_; }
  const std::filesystem::path& folder() const noexcept { return folder_; }
  struct TensorInfo { std::string name, slot; Shape shape; };
  const std::vector<TensorInfo>& tensors() const noexcept { return tensors_; }
  // Copies elements [begin, end) into out (fp32, host). Error(data) naming what is missing.
  void read(const std::string& name, const std::string& slot, int64_t begin, int64_t end, View out) const;

 private:
  struct Piece { std::string tensor; int64_t begin, end; std::string file; int64_t offset; };
  std::filesystem::path folder_;
  CheckpointInfo info_;
  std::vector<TensorInfo> tensors_;
  std::vector<Piece> pieces_;
};

}  // namespace tw
