// From settings to what the trainer takes. Values that were left to us (0, "auto") are worked out and written back into
// the settings with the origin "derived", so that the saved configuration says what was really used.
#pragma once
#include <optional>
#include <span>
#include <string>

#include "src/config/load.h"
#include "src/data/batches.h"
#include "src/train/trainer.h"

namespace tw {

// The model of start weights or of a checkpoint, and where it comes from (for messages and origins).
struct GivenModel {
  ModelConfig model;
  std::string origin;
};

// vocab: of the token files, 0 = unknown. Error(config) where a setting contradicts the given model or the data.
ModelConfig resolve_model(Config& config, int64_t vocab, const std::optional<GivenModel>& given);

// The settings lora.*; given: those of the checkpoint the run goes on from, which stay. Error(config) where they contradict each other.
AdapterConfig resolve_adapters(Config& config, const std::optional<AdapterConfig>& given);

// What a checkpoint fixes for the rest of its run.
struct GivenBatch {
  int virtual_ranks = 0;
  int64_t global_batch_size = 0;
};
// ranks: data-parallel ranks; device: of a rank. Error(config).
TrainerOptions resolve_trainer(Config& config, const ModelConfig& model, int ranks, const std::optional<GivenBatch>& given, Device device);
// Optimiser steps of the whole run. An epoch is as many samples as all files have, blended or not. Error(config) where no
// length is set.
int64_t resolve_steps(const Config& config, int64_t global_batch_size, int64_t samples_per_epoch);
// Threads of this rank.
int resolve_threads(const Config& config, int ranks_on_node);

// The files a setting names ("data.train", "data.val"). Error(no_input), Error(data).
std::vector<std::shared_ptr<const TokenFile>> open_token_files(const Config& config, const char* key);
int64_t largest_vocab(std::span<const std::shared_ptr<const TokenFile>> files);  // 0 = none

// The samples of a run and its length in steps. vocab: of the model. Error(config), Error(data).
struct TrainingData {
  std::shared_ptr<const Batches> batches;
  int64_t steps = 0;
};
TrainingData resolve_data(const Config& config, std::vector<std::shared_ptr<const TokenFile>> files, int64_t vocab,
                          int64_t global_batch_size);

// How samples of these files are packed; where conversations are among them and the user says nothing, documents are kept apart. Error(config) where they do not say which token ends a document, or where
// positions begin again in a model that has no learned ones.
Packing resolve_packing(const Config& config, Architecture type, std::span<const std::shared_ptr<const TokenFile>> files);

}  // namespace tw
