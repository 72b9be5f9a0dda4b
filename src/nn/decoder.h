// The transformer for generation: new tokens against a key/value cache, no backward.
#pragma once
#include <vector>

#include "src/nn/linear.h"

namespace tw {

class Decoder {
 public:
  // batch rows, at most max_new tokens a call, context positions in the cache. Allocates its own memory.
  // weights: of the compute dtype fp32 or bf16, or in 8 bits; kept alive by the caller.
  // Error(config) where context is beyond the learned positions.
  Decoder(const ModelConfig& model, const ParameterTable& table, const ModelWeights& weights, int64_t batch, int64_t max_new,
          int64_t context, const Stream& stream);

  // Runs ids (B, T_new) i32, in host memory, at the next positions; the cache grows by T_new. Error(bug) if it is full.
  // logits (B * T_new, vocab padded), fp32 or the compute dtype, on the device, overwritten; with last_only (B, V) of the
  // last token of each row alone.
  void forward(ConstView ids, View logits, bool last_only, const Stream& stream);
  int64_t past() const noexcept { return past_; }     // tokens in the cache
  void truncate(int64_t past);                        // forgets the tokens from `past` on
  int64_t context() const noexcept { return context_; }
  const ModelConfig& model() const noexcept { return model_; }

 private:
  struct Layer {
    Parameter attention_norm, attention_norm_bias, mlp_norm, mlp_norm_bias;
    Linear qkv, out, up, down;
    View k_cache, v_cache;  // (B, KV, context, D)
  };
  void norm(ConstView x, ConstView branch, View sum, const Parameter& weight, const Parameter& bias, View y,
            const Stream& stream);

  ModelConfig model_;
  DType dtype_;
  int64_t batch_, max_new_, context_, past_ = 0;
  bool gpt2_;
  std::vector<Layer> layers_;
  Parameter tokens_, positions_, final_norm_, final_norm_bias_, head_;
  Arena arena_;
  View cos_, sin_, stream_, y_, branch_, qkv_, mixed_, hidden_, active_, mean_, rstd_;
  View ids_;  // of a GPU
};

}  // namespace tw
