// From token files to batches. Sample i is the same tokens on any number of ranks.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "src/core/tensor.h"
#include "src/data/token_file.h"

namespace tw {

struct BatchOptions {
  int64_t seq_len = 0;       // T
  int64_t sample_stride = 0; // tokens from one sample's start to the next; 0 = seq_len. A sample is T + 1 tokens
  bool shuffle = true;       // each epoch in its own order; else the order of the files
  uint64_t seed = 0;
};

class Batches {
 public:
  // Throws Error(data) where the files hold less than one sample or differ in tokenizer or dtype.
  Batches(std::vector<std::shared_ptr<const TokenFile>> files, const BatchOptions& options);
  int64_t samples_per_epoch() const noexcept;
  // Sample `index` counts on through the epochs. x[t] = token t, y[t] = token t + 1 of the sample; (T) each.
  void sample(int64_t index, int32_t* x, int32_t* y) const;
  // Where sample `index` comes from: file number and first token.
  struct Origin { int file; int64_t first_token; };
  Origin origin(int64_t index) const;
  std::string fingerprint() const;  // changes with files, order or options

 private:
  std::vector<std::shared_ptr<const TokenFile>> files_;
  std::vector<int64_t> first_sample_;  // of each file
  BatchOptions options_;
  int64_t samples_ = 0;
};

}  // namespace tw
