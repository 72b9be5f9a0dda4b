#include "src/data/batches.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "kernels/loss.h"
#include "src/core/error.h"
#include "src/core/hash.h"
#include "src/core/rng.h"

namespace tw {

Batches::Batches(std::vector<std::shared_ptr<const TokenFile>> files, const BatchOptions& options)
    : files_(std::move(files)), options_(options), stride_(options.sample_stride) {
  TW_CHECK(options.seq_len >= 1, config, "training.seq_len is {}; it must be at least 1", options.seq_len);
  TW_CHECK(options.sample_stride >= 0, config, "data.sample_stride is {}; it must be 0 or more", options.sample_stride);
  TW_CHECK(!files_.empty(), data, "no token file to train on (data.train is empty)");
  if (stride_ == 0) stride_ = options.seq_len;
  int64_t tokens = 0;
  for (const auto& f : files_) {
    const TokenFile& first = *files_[0];
    TW_CHECK(f->bits() == first.bits(), data, "{} holds ids of {} bits, but {} of {}: both must be of one kind",
             f->path().string(), f->bits(), first.path().string(), first.bits());
    for (const auto& g : files_)
      TW_CHECK(f->tokenizer_hash().empty() || g->tokenizer_hash().empty() || f->tokenizer_hash() == g->tokenizer_hash(),
               data, "{} and {} were made with different tokenizers ({:.12} and {:.12}): tokenize them with one",
               f->path().string(), g->path().string(), f->tokenizer_hash(), g->tokenizer_hash());
    first_sample_.push_back(samples_);
    tokens += f->size();
    const int64_t spare = f->size() - options.seq_len - 1;
    if (spare >= 0) samples_ += spare / stride_ + 1;
  }
  TW_CHECK(samples_ > 0, data,
           "{} hold(s) {} tokens, too few for one sample of {} + 1: add text or lower training.seq_len",
           files_.size() == 1 ? files_[0]->path().string() : std::to_string(files_.size()) + " token files", tokens,
           options.seq_len);
  if (options.blend.empty()) return;
  blend_.emplace(options.blend, files_.size());
  for (size_t f = 0; f < files_.size(); ++f)
    TW_CHECK(samples_of(f) > 0 || !blend_->uses(f), data,
             "{} has {} tokens, too few for one sample of {} + 1, but a weight in data.blend: give it the weight 0, leave it out or "
             "lower training.seq_len",
             files_[f]->path().string(), files_[f]->size(), options.seq_len);
}

int64_t Batches::samples_per_epoch() const noexcept { return samples_; }

int64_t Batches::samples_of(size_t file) const {
  return (file + 1 < first_sample_.size() ? first_sample_[file + 1] : samples_) - first_sample_[file];
}

// A Feistel network (Luby & Rackoff 1988) of 6 rounds permutes the smallest range [0, 4^h) that holds all samples;
// walking its cycle until the number is a sample's (Black & Rogaway 2002, "Ciphers with arbitrary finite domains",
// section 4) makes it a permutation of [0, samples). At most 4 tries on average, no memory.
int64_t Batches::shuffled(int64_t position, int64_t epoch, int64_t samples, uint32_t salt) const {
  constexpr uint64_t kRounds = 6;
  const int h = std::max(1, (int(std::bit_width(uint64_t(samples - 1))) + 1) / 2);
  const uint64_t mask = (uint64_t(1) << h) - 1;
  const Rng rng{options_.seed, RngStream::data_order, uint32_t(epoch), uint32_t(uint64_t(epoch) >> 32) ^ salt << 8};
  uint64_t v = uint64_t(position);
  do {
    uint64_t left = v >> h, right = v & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint32_t f = rng.block(round << 32 | right)[0];
      left = std::exchange(right, (left ^ f) & mask);
    }
    v = left << h | right;
  } while (v >= uint64_t(samples));
  return int64_t(v);
}

Batches::Origin Batches::origin(int64_t index) const {
  TW_CHECK(index >= 0, bug, "sample {} asked for", index);
  if (blend_) {
    const Blend::Draw draw = blend_->at(index);
    const int64_t samples = samples_of(size_t(draw.file));
    int64_t s = draw.number % samples;
    if (options_.shuffle) s = shuffled(s, draw.number / samples, samples, uint32_t(draw.file + 1));
    return {draw.file, s * stride_};
  }
  int64_t s = index % samples_;
  if (options_.shuffle) s = shuffled(s, index / samples_, samples_, 0);
  // The last file whose first sample is not behind s; files without a sample never are.
  const auto next = std::upper_bound(first_sample_.begin(), first_sample_.end(), s);
  const int file = int(next - first_sample_.begin()) - 1;
  return {file, (s - first_sample_[size_t(file)]) * stride_};
}

void Batches::sample(int64_t index, int32_t* x, int32_t* y) const {
  const Origin from = origin(index);
  const TokenFile& file = *files_[size_t(from.file)];
  int64_t bound = file.vocab_size() > 0 ? file.vocab_size() : int64_t(1) << 31;
  if (options_.vocab_size > 0) bound = std::min(bound, options_.vocab_size);
  for (int64_t t = 0; t <= options_.seq_len; ++t) {
    const uint32_t id = uint32_t(file[from.first_token + t]);
    TW_CHECK(id < uint64_t(bound), data, "{} holds token {} at position {}, but the vocabulary has {} tokens",
             file.path().string(), id, from.first_token + t, bound);
    if (t < options_.seq_len) x[t] = int32_t(id);
    if (t > 0) y[t - 1] = int32_t(id);
  }
  file.for_untrained(from.first_token + 1, from.first_token + options_.seq_len + 1, [&](int64_t i) { y[i - from.first_token - 1] = kIgnoredTarget; });
}

std::string Batches::fingerprint() const {
  Xxh3 sum;
  const auto add = [&](const auto& value) { sum.update(&value, sizeof value); };
  for (const auto& f : files_) {
    add(f->size());
    add(int64_t(f->bits()));
    sum.update(f->checksum().data(), f->checksum().size());
    for (const TokenFile::Range& r : f->untrained()) add(r.begin), add(r.end);
  }
  add(options_.seq_len);
  add(stride_);
  add(int64_t(options_.shuffle));
  if (options_.shuffle) add(options_.seed);
  if (blend_)
    for (const Blend::Stage& stage : blend_->stages()) {
      add(stage.first);
      add(stage.period);
      for (const int64_t part : stage.parts) add(part);
    }
  return hex(sum.value());
}

}  // namespace tw
