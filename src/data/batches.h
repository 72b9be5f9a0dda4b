// From token files to batches. Sample i is the same tokens on any number of ranks.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "src/core/tensor.h"
#include "src/data/blend.h"
#include "src/data/token_file.h"

namespace tw {

struct BatchOptions {
  int64_t seq_len = 0;       // T
  int64_t sample_stride = 0; // tokens from one sample's start to the next; 0 = seq_len. A sample is T + 1 tokens
  bool shuffle = true;       // each epoch in its own order; else the order of the files
  uint64_t seed = 0;
  int64_t vocab_size = 0;    // of the model: a token not below it is Error(data); 0 = the files' own bound alone
  std::vector<BlendStage> blend = {};  // empty: all files' samples in one order, so each as often as it has samples
};

class Batches {
 public:
  // Throws Error(data) where the files hold less than one sample or differ in tokenizer or dtype, Error(config) where
  // an option is out of range. A sample lies in one file; files shorter than a sample give none.
  Batches(std::vector<std::shared_ptr<const TokenFile>> files, const BatchOptions& options);
  int64_t samples_per_epoch() const noexcept;  // of all files
  // Sample `index` counts on through the epochs: each sample once in every samples_per_epoch() of them. With a blend each
  // file has epochs of its own: each of its samples once in as many draws from it. x[t] = token t, y[t] = token t + 1 of
  // the sample, or kIgnoredTarget where the file leaves it untrained; (T) each. Any thread may call it. Error(data) names a token out of range.
  void sample(int64_t index, int32_t* x, int32_t* y) const;
  // Where sample `index` comes from: file number and first token.
  struct Origin { int file; int64_t first_token; };
  Origin origin(int64_t index) const;
  std::string fingerprint() const;  // changes with files, order or options

  const std::vector<std::shared_ptr<const TokenFile>>& files() const noexcept { return files_; }
  int64_t samples_of(size_t file) const;  // in an epoch of the file
  const Blend* blend() const noexcept { return blend_ ? &*blend_ : nullptr; }

 private:
  // What stands at a position of an epoch of `samples`; orders differ with `salt`.
  int64_t shuffled(int64_t position, int64_t epoch, int64_t samples, uint32_t salt) const;
  std::vector<std::shared_ptr<const TokenFile>> files_;
  std::vector<int64_t> first_sample_;  // of each file
  BatchOptions options_;
  std::optional<Blend> blend_;
  int64_t samples_ = 0, stride_ = 0;
};

}  // namespace tw
