// One decoder-only transformer; its settings give GPT-2 and Llama. Training and evaluation passes of a
// fixed shape; generation with a key/value cache is nn/decoder.h.
//
//   s = tokens[ids] (+ positions);  per layer: s += attention(norm(s)); s += mlp(norm(s));
//   logits = norm(s) head^T;  loss = sum of cross entropies
// Radford et al. 2019 (GPT-2); Touvron et al. 2023, arXiv:2302.13971 section 2.2 (Llama).
#pragma once
#include <functional>
#include <vector>

#include "src/nn/attention.h"
#include "src/nn/mlp.h"
#include "src/nn/norm.h"

namespace tw {

class Transformer {
 public:
  // Names what a pass of `sizes` needs in `plan`; allocates nothing. Throws Error(config) where
  // sizes.seq_len is beyond the learned positions. With adapters bind() wants their weights, too.
  Transformer(const ModelConfig& model, const PassSizes& sizes, ArenaPlan& plan, const AdapterConfig& adapters = {});
  // weights: of the compute dtype, or in 8 bits without gradients; gradients: flat fp32, the adapters' where there are any, or empty for
  // evaluation only. All four must outlive the transformer. stream: of the arena's device.
  void bind(const Arena& arena, const ParameterTable& table, const ModelWeights& weights, View gradients, const Stream& stream);
  // Adds to another flat array from now on: the exact sum keeps several.
  void use_gradients(View gradients);

  // Where documents begin in the rows of the passes from now on, (B, T) i32 on the device (kernels/attention.h): for
  // attention, and for learned positions. Empty = a row is one document, as at first.
  void use_document_starts(ConstView attention, ConstView positions) {
    attention_starts_ = attention, position_starts_ = positions;
  }

  // Called in backward when all gradients of the flat array of what is trained are final from `offset` on.
  using GradientsReady = std::function<void(int64_t offset)>;

  // Losses (N) fp32 of each target, 0 where kIgnoredTarget; gradients of their sum are added.
  // ids, targets (B, T) i32 on the device.
  void forward_backward(ConstView ids, ConstView targets, View losses, const GradientsReady& ready,
                        const Stream& stream);
  void losses(ConstView ids, ConstView targets, View losses, const Stream& stream);

  const ModelConfig& model() const noexcept { return model_; }
  const PassSizes& sizes() const noexcept { return sizes_; }

 private:
  struct Block {
    Norm attention_norm, mlp_norm;
    Attention attention;
    Mlp mlp;
  };
  void forward(ConstView ids, const Stream& stream);
  void head(ConstView targets, View losses, bool gradient, const Stream& stream);

  ModelConfig model_;
  PassSizes sizes_;
  AdapterConfig adapters_;
  bool has_gradients_ = false;
  const Arena* arena_ = nullptr;
  const ParameterTable* table_ = nullptr;
  ModelWeights weights_;
  ConstView attention_starts_, position_starts_;
  int64_t chunk_ = 0;  // rows of logits computed at a time
  std::vector<Block> blocks_;
  Norm final_norm_;
  Parameter tokens_, positions_, head_;
  std::vector<int64_t> layer_offset_;  // first element of each layer in the flat array of what is trained
  int64_t final_offset_ = 0;
  int cos_id_ = -1, sin_id_ = -1, branch_id_ = -1, logits_id_ = -1, dstream_id_ = -1, dbranch_id_ = -1;
  View cos_, sin_;
  View branch_;   // (N, C): what the next norm adds to the stream
  View logits_;   // (chunk, V)
  View dstream_;  // (N, C): gradient of the residual stream
  View dbranch_;  // (N, C): gradient at a norm's output
};

}  // namespace tw
