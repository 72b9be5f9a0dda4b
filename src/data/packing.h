// Samples that hold several documents, one behind the other. The names are those of Megatron-LM.
#pragma once
#include <cstdint>

namespace tw {

// Documents end with the token `eod`.
struct Packing {
  bool reset_attention_mask = false;  // no token attends to another document
  bool reset_position_ids = false;    // learned positions begin again at each document
  bool eod_mask_loss = false;         // in training, the first token of a document, which follows eod, is not predicted
  int32_t eod = -1;
  bool needs_starts() const noexcept { return reset_attention_mask || reset_position_ids; }
};

// starts[t] = where the document of token t begins among ids (length): behind the last eod before t, or 0.
inline void document_starts(const int32_t* ids, int64_t length, int32_t eod, int32_t* starts) {
  int32_t begin = 0;
  for (int64_t t = 0; t < length; ++t) {
    if (t > 0 && ids[t - 1] == eod) begin = int32_t(t);
    starts[t] = begin;
  }
}

}  // namespace tw
