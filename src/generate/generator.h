// Continues prompts with a key/value cache.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "src/generate/sampler.h"
#include "src/nn/decoder.h"

namespace tw {

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t max_new_tokens = 100;
  int32_t stop_id = -1;  // generation ends after this token; -1 = never
  int64_t stops = 1;     // when it came so often
  int32_t first_id = 0, end_id = -1;  // only ids from first_id on and below end_id are drawn; -1 = the vocabulary's end
  // Which of those may come next (1) after the new ids (0 = not), asked before each; {} = all.
  std::function<void(std::span<const int32_t> made, std::span<uint8_t> allowed)> allow = {};
};

struct Generation {
  std::vector<int32_t> ids;     // the new tokens alone, the stop_id that ended it not included
  bool stopped = false;         // stop_id was reached
  double prompt_seconds = 0, token_seconds = 0;
};

class Generator {
 public:
  // weights: kept alive by the caller.
  Generator(const ModelConfig& model, const ParameterTable& table, const ModelWeights& weights, const Stream& stream);

  // Sample number `sample` (it enters the random numbers). prompt: at least one id, each in the vocabulary:
  // Error(data). Beyond the model's positions the oldest half of the window is forgotten (learned and rotary positions
  // start anew there). on_token is called for each new token.
  Generation run(const std::vector<int32_t>& prompt, const GenerateOptions& options, int64_t sample,
                 const std::function<void(int32_t)>& on_token);

  // Logits of every position of `ids` (T, vocab_size), fp32. T within the model's positions.
  Tensor logits(const std::vector<int32_t>& ids);

 private:
  void feed(Decoder& decoder, const int32_t* ids, int64_t count, View last_logits);
  ModelConfig model_;
  const ParameterTable& table_;
  ModelWeights weights_;
  Stream stream_;
};

}  // namespace tw
