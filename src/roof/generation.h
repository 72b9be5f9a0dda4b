// Generation with a key/value cache, one sequence, each token timed: a model's weights are read once a token, so that the
// memory's bandwidth is the floor.
#pragma once
#include <functional>

#include "src/nn/int8_weights.h"
#include "src/roof/op_times.h"

namespace tw {

struct GenerationOptions {
  int64_t prompt = 8, tokens = 128;   // tokens: timed twice, whole and with each op watched
  DType dtype = DType::fp32;
  Quantization quantization = Quantization::none;
  const Roof* roof = nullptr;         // floors of the ops; null = none
  std::function<void()> on_tokens;    // after every few; may throw
};

struct GenerationReport {
  ModelConfig model;
  DType dtype = DType::fp32;
  Quantization quantization = Quantization::none;
  int64_t parameters = 0, prompt = 0, tokens = 0;
  int threads = 1;
  double weight_bytes = 0;       // of memory, all of the model
  double read_bytes = 0;         // weights that a token reads: linear layers and the head
  Spread token;                  // seconds of a token, no op timed
  double read_rate = 0;          // bytes a second of memory that is read and nothing else, by turns with the tokens; median.
                                 // 0 on a GPU
  StepTimes ops;                 // a step is a token
  double tokens_per_second() const { return 1 / token.median; }
  double weight_rate() const { return read_bytes / token.median; }  // bytes a second
};

// Random weights; the most likely token each time. Error(config) where the model or its positions are too small for
// prompt + 2 tokens, or its weights too large for the memory.
GenerationReport measure_generation(const ModelConfig& model, const Stream& stream, const GenerationOptions& options);

}  // namespace tw
