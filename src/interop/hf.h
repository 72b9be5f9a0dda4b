// Hugging Face model folders: config.json and safetensors of GPT-2 and Llama, in and out.
#pragma once
#include <filesystem>

#include "src/nn/parameters.h"

namespace tw {

// Reads config.json. Old and new keys (rope_theta / rope_parameters, torch_dtype / dtype). Settings that change the
// arithmetic and that we do not have (rope scaling, attention biases of Llama, ...) are refused by name: Error(data).
// vocab padding: as our own default of 64.
ModelConfig read_hf_config(const std::filesystem::path& folder);

// The tensors of one of our parameters in a Hugging Face file, one below the other along our first dimension.
struct HfTensor {
  std::string name;
  int64_t rows;            // of our parameter
  bool transposed = false; // stored [in, out] (GPT-2's Conv1D)
};
std::vector<HfTensor> hf_tensors(const ModelConfig& model, const ParameterInfo& parameter);

// Reads all weights into the flat array (fp32, table.flat_count() elements or more). One model.safetensors or shards by
// model.safetensors.index.json. A missing, unknown or mis-shaped tensor is Error(data) by name.
void read_hf_weights(const std::filesystem::path& folder, const ModelConfig& model, const ParameterTable& table, View flat);

// Writes config.json, generation_config.json and model.safetensors; vocabulary padding is cut, a tied head left out.
// The tokenizer's files are the text codec's (write_hf_tokenizer). bos/eos: token ids, -1 = none.
struct HfExport {
  DType dtype = DType::fp32;  // fp32, bf16 or fp16
  int64_t bos_token_id = -1, eos_token_id = -1;
};
void write_hf_model(const std::filesystem::path& folder, const ModelConfig& model, const ParameterTable& table,
                    ConstView flat, const HfExport& options);

}  // namespace tw
