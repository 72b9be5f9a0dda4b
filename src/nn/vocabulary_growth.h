// A model for more tokens than it was made with: those of conversations, pictures or sound that come to a text model.
#pragma once
#include "src/nn/parameters.h"

namespace tw {

struct GrownModel {
  ModelConfig model;
  Tensor weights;  // flat, fp32
};

// Rows of new tokens are the mean of those that are there, so that they are drawn as rarely as an average one (Hewitt 2021, "Initializing new word
// embeddings for pretrained language models"). weights: flat, fp32, of `model`. vocab_size: not below the model's; Error(bug).
GrownModel grow_vocabulary(const ModelConfig& model, ConstView weights, int64_t vocab_size);

}  // namespace tw
