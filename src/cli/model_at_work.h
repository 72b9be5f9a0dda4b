// A model made ready to run: weights in the wanted precision and the tokenizer beside it.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "src/codec/text/tokenizer.h"
#include "src/config/load.h"
#include "src/interop/model_source.h"
#include "src/nn/int8_weights.h"

namespace tw {

struct ModelAtWork {
  // path: a run, a checkpoint or a Hugging Face folder. dtype: fp32 or bf16. tokenizer: "" = the one beside the model.
  // quantization: int8 = matrices as 8-bit integers, dtype then of everything else; on a CPU only.
  ModelAtWork(const std::filesystem::path& path, DType dtype, const std::filesystem::path& tokenizer, const Stream& stream,
              Quantization quantization = Quantization::none);
  ModelWeights inference_weights() const { return int8 ? ModelWeights(*int8) : ModelWeights(weights.view()); }
  std::string precision() const;  // "fp32", "bf16, int8 weights"
  const TextTokenizer& text() const;  // Error(no_input) where there is no tokenizer

  ModelConfig model;
  ParameterTable table;
  Tensor weights;  // flat, of dtype, on the stream's device; empty with int8
  std::unique_ptr<const Int8Weights> int8;
  std::filesystem::path tokenizer_path;
  std::unique_ptr<TextTokenizer> tokenizer;  // null where none lies beside the model
  std::filesystem::path source;
  std::string origin;
  std::optional<LoadedAdapters> adapters;  // that are merged into the weights

 private:
  ModelAtWork(LoadedModel loaded, DType dtype, const std::filesystem::path& tokenizer, const Stream& stream,
              Quantization quantization);
};

class Arguments;
// The settings a run was made with, if `path` is one, then those of the command line.
Config load_model_config(const std::filesystem::path& path, const Arguments& arguments);
DType dtype_of(const Config& config);  // training.dtype

}  // namespace tw
