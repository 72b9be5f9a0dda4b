// What a model is. GPT-2 and Llama are settings of one transformer.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>

namespace tw {

enum class Architecture { gpt2, llama };  // gpt2: LayerNorm, learned positions, GELU, biases
                                          // llama: RMSNorm, RoPE, SwiGLU, no biases

struct ModelConfig {
  Architecture type = Architecture::gpt2;
  int64_t vocab_size = 0;
  int64_t make_vocab_size_divisible_by = 64;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;  // need not be hidden_size / num_attention_heads
  int64_t max_position_embeddings = 0;
  double rope_theta = 10000;
  double norm_eps = 1e-5;
  std::string hidden_act = "gelu_new";  // gpt2: "gelu_new" (tanh form) or "gelu" (erf); llama: "silu"
  bool tie_word_embeddings = true;
  double initializer_range = 0.02;

  int64_t padded_vocab_size() const;
  int64_t qkv_size() const { return (num_attention_heads + 2 * num_key_value_heads) * head_dim; }
  int64_t attention_size() const { return num_attention_heads * head_dim; }
  // Throws Error(config) naming the key that cannot be.
  void check() const;
  bool operator==(const ModelConfig&) const = default;
};

std::string name_of(Architecture type);              // "gpt2", "llama"
Architecture architecture_named(const std::string&);  // Error(config)

nlohmann::json to_json(const ModelConfig& model);              // keys as in the [model] section
ModelConfig model_config_from_json(const nlohmann::json& json);  // Error(data) naming the key

}  // namespace tw
