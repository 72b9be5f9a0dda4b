// Learns a byte-level BPE vocabulary from text.
// Sennrich, Haddow & Birch 2016, arXiv:1508.07909, algorithm 1, over bytes as in Radford et al. 2019. The most
// frequent pair is merged first; of equally frequent pairs the one with the smaller left id, then the smaller right
// id. So merges equal those of Hugging Face's BpeTrainer (ByteLevel, the full initial alphabet), which follows the
// same rule; where it lists a merge twice, we list it once.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/codec/text/spec.h"

namespace tw {

struct BpeTraining {
  int32_t vocab_size = 4096;  // special tokens and the 256 bytes included: at least so many
  SplitRule rule = SplitRule::gpt2;
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  // get the first ids, in this order
  int threads = 1;            // count pieces; results do not depend on it
  int64_t min_frequency = 2;  // a pair must occur so often to be merged
};

class BpeTrainer {
 public:
  // Error(config) for a vocabulary that is too small or too large, an empty or repeated special token, or a rule of
  // SentencePiece's (each_space).
  explicit BpeTrainer(BpeTraining options);
  ~BpeTrainer();
  BpeTrainer(const BpeTrainer&) = delete;
  BpeTrainer& operator=(const BpeTrainer&) = delete;

  // Counts the pieces of one text; its start and end are ends of pieces. Memory grows with the number of different
  // pieces, not with the text. Texts of special tokens are ordinary text here: leave them out.
  void add(std::string_view text);
  int64_t bytes() const noexcept;      // of the texts so far
  size_t pieces() const noexcept;      // different ones (where threads > 1: a little more, before they are put together)

  // Ids: special tokens, the 256 bytes in the order of alphabet_order(), then one token a merge. Ends early, with
  // fewer tokens, where no pair occurs min_frequency times any more. bos and eos are "<|endoftext|>" if it is among
  // the special tokens, else the first of them. Forgets the counts.
  TokenizerSpec train();

 private:
  struct Counts;
  BpeTraining options_;
  std::unique_ptr<Counts> counts_;
};

}  // namespace tw
