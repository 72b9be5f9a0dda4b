// A model from wherever it lies: a run, a checkpoint or a Hugging Face folder.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "src/nn/adapter.h"

namespace tw {

struct LoadedAdapters {
  AdapterConfig config;
  Tensor values;  // flat, fp32, of adapter_table()
};

struct LoadedModel {
  ModelConfig model;
  ParameterTable table;
  Tensor weights;                    // flat, fp32, table.flat_count()
  std::filesystem::path tokenizer;   // tokenizer.json, tokenizer.model or empty where none lies beside the model
  std::string origin;                // for people: "checkpoint runs/a/checkpoints/step-00000100.a1, step 100"
  std::optional<LoadedAdapters> adapters;  // that are merged into the weights (W0 + alpha / r B A, in fp32)
};

// Error(no_input) where `path` is none of them, Error(data) where it is damaged.
LoadedModel load_model(const std::filesystem::path& path);

}  // namespace tw
