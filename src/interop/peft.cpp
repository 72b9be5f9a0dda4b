#include "src/interop/peft.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "src/core/file.h"
#include "src/interop/hf.h"
#include "src/interop/safetensors.h"

namespace tw {

void write_peft_adapter(const std::filesystem::path& folder, const ModelConfig& model, const AdapterConfig& config, ConstView adapters, DType dtype) {
  const ParameterTable table(model), trained = adapter_table(model, config);
  const bool gpt2 = model.type == Architecture::gpt2;
  std::vector<SafetensorsTensor> tensors;
  std::set<std::string> targets;
  for (int64_t i = 0; i < model.num_hidden_layers; ++i)
    for (const std::string& layer : adapted_layers(model, config)) {
      const std::string name = "layers." + std::to_string(i) + "." + layer;
      const AdapterShape shape = *adapter_shape(model, config, layer);
      const float *a = adapters.as<float>() + trained[name + ".lora_a"].offset, *b = adapters.as<float>() + trained[name + ".lora_b"].offset;
      for (const HfTensor& part : hf_tensors(model, table[name + ".weight"])) {
        const std::string module = part.name.substr(0, part.name.rfind('.'));
        tensors.push_back({"base_model.model." + module + ".lora_A.weight", {shape.rank, shape.in}, a});
        tensors.push_back({"base_model.model." + module + ".lora_B.weight", {part.rows, shape.rank}, b});
        a += shape.rank * shape.in, b += part.rows * shape.rank;
        // GPT-2 has a c_proj in both halves of a block.
        const size_t last = module.rfind('.');
        targets.insert(module.substr((gpt2 ? module.rfind('.', last - 1) : last) + 1));
      }
    }
  make_folders(folder);
  write_safetensors(folder / "adapter_model.safetensors", tensors, dtype);
  using Json = nlohmann::ordered_json;
  const bool whole = config.alpha == std::floor(config.alpha) && config.alpha < 1e15;  // a whole number is what PEFT writes
  const Json alpha = whole ? Json(int64_t(config.alpha)) : Json(config.alpha);
  const Json json = {{"peft_type", "LORA"},
                                       {"task_type", "CAUSAL_LM"},
                                       {"base_model_name_or_path", nullptr},
                                       {"r", config.rank},
                                       {"lora_alpha", alpha},
                                       {"lora_dropout", 0.0},
                                       {"bias", "none"},
                                       {"target_modules", targets},
                                       {"modules_to_save", nullptr},
                                       {"fan_in_fan_out", gpt2},
                                       {"use_rslora", false},
                                       {"use_dora", false},
                                       {"inference_mode", true}};
  write_file_atomically(folder / "adapter_config.json", json.dump(2) + "\n");
}

}  // namespace tw
