// Loss on held-out tokens, the same number on any count of ranks.
#pragma once
#include <vector>

#include "comm/communicator.h"
#include "src/data/packing.h"
#include "src/data/token_file.h"
#include "src/nn/transformer.h"
#include "src/train/batch_feed.h"

namespace tw {

struct DocumentLoss {
  double loss_sum = 0;  // nats
  int64_t tokens = 0;   // scored
  int64_t untrained = 0;  // not to be predicted: what is asked in conversations
};

struct Evaluation {
  double loss_sum = 0;     // nats over all scored tokens
  int64_t tokens = 0;      // scored
  int64_t source_bytes = 0;  // text bytes behind the whole file; 0 = unknown, or tokens of it are not to be predicted
  bool whole_file = false;   // every token but the first was scored
  double seconds = 0;
  std::vector<DocumentLoss> documents;  // of the file, in its order
  double loss() const { return tokens ? loss_sum / double(tokens) : 0; }
  double perplexity() const;
  // The share of the file's bytes that the scored tokens stand for; NaN where the bytes are not known. The
  // file's first token has no context: it is charged as one of the vocabulary (log2 V bits).
  double bits_per_byte(int64_t vocab_size, int64_t file_tokens) const;
};

// Scores token i of `file` given the tokens before it in its window of seq_len (window w starts at token w T; every
// token but the file's first and those that are not to be predicted is scored once). max_windows = 0: the whole file. Collective over comm: window w is
// done by rank w / batch mod size. A token belongs to the document it stands in, whatever the context it is scored in. feed: of the model's sizes. packing: as in training, but for its
// eod_mask_loss: every token counts here.
Evaluation evaluate(Transformer& model, const TokenFile& file, int64_t max_windows, BatchFeed& feed, Communicator& comm,
                    const Stream& stream, const Packing& packing = {});

}  // namespace tw
