// Adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors. https://huggingface.co/docs/peft, "PEFT checkpoint format".
#pragma once
#include <filesystem>

#include "src/nn/adapter.h"

namespace tw {

// adapters: flat, fp32, of adapter_table(). dtype: fp32, bf16 or fp16. peft.PeftModel.from_pretrained(base, folder) then computes what we do,
// where `base` is the Hugging Face folder of the frozen weights.
void write_peft_adapter(const std::filesystem::path& folder, const ModelConfig& model, const AdapterConfig& config, ConstView adapters, DType dtype);

}  // namespace tw
