#include "src/nn/model_config.h"

#include <nlohmann/json.hpp>

#include "src/core/error.h"
#include "src/core/json_guard.h"

namespace tw {

int64_t ModelConfig::padded_vocab_size() const {
  const int64_t d = make_vocab_size_divisible_by;
  return (vocab_size + d - 1) / d * d;
}

void ModelConfig::check() const {
  const auto within = [](const char* key, int64_t value, int64_t low, int64_t high) {
    TW_CHECK(value >= low && value <= high, config, "model.{} = {} is out of range: {} to {}", key, value, low, high);
  };
  within("vocab_size", vocab_size, 1, 1 << 24);
  within("make_vocab_size_divisible_by", make_vocab_size_divisible_by, 1, 65536);
  within("hidden_size", hidden_size, 1, 1 << 20);
  within("intermediate_size", intermediate_size, 1, 1 << 22);
  within("num_hidden_layers", num_hidden_layers, 1, 4096);
  within("num_attention_heads", num_attention_heads, 1, 4096);
  within("num_key_value_heads", num_key_value_heads, 1, num_attention_heads);
  within("head_dim", head_dim, 1, 1024);
  within("max_position_embeddings", max_position_embeddings, 1, int64_t(1) << 24);
  TW_CHECK(num_attention_heads % num_key_value_heads == 0, config,
           "model.num_attention_heads = {} is not a multiple of model.num_key_value_heads = {}", num_attention_heads,
           num_key_value_heads);
  TW_CHECK(norm_eps > 0 && norm_eps < 1, config, "the norm epsilon {} must lie between 0 and 1", norm_eps);
  if (type == Architecture::llama) {
    TW_CHECK(head_dim % 2 == 0, config, "model.head_dim = {} must be even for rotary positions", head_dim);
    TW_CHECK(rope_theta > 0, config, "model.rope_theta = {} must be positive", rope_theta);
    TW_CHECK(hidden_act == "silu", config, "model.hidden_act = \"{}\": a llama model has \"silu\"", hidden_act);
  } else {
    TW_CHECK(hidden_act == "gelu_new" || hidden_act == "gelu", config,
             "model.hidden_act = \"{}\": a gpt2 model has \"gelu_new\" or \"gelu\"", hidden_act);
  }
}

std::string name_of(Architecture type) { return type == Architecture::gpt2 ? "gpt2" : "llama"; }

Architecture architecture_named(const std::string& name) {
  if (name == "gpt2") return Architecture::gpt2;
  if (name == "llama") return Architecture::llama;
  TW_FAIL(config, "model.type = \"{}\" is not known: \"gpt2\" or \"llama\"", name);
}

nlohmann::json to_json(const ModelConfig& m) {
  return {{"type", name_of(m.type)},
          {"vocab_size", m.vocab_size},
          {"make_vocab_size_divisible_by", m.make_vocab_size_divisible_by},
          {"hidden_size", m.hidden_size},
          {"intermediate_size", m.intermediate_size},
          {"num_hidden_layers", m.num_hidden_layers},
          {"num_attention_heads", m.num_attention_heads},
          {"num_key_value_heads", m.num_key_value_heads},
          {"head_dim", m.head_dim},
          {"max_position_embeddings", m.max_position_embeddings},
          {"rope_theta", m.rope_theta},
          {"norm_eps", m.norm_eps},
          {"hidden_act", m.hidden_act},
          {"tie_word_embeddings", m.tie_word_embeddings},
          {"initializer_range", m.initializer_range}};
}

ModelConfig model_config_from_json(const nlohmann::json& json) {
  ModelConfig m;
  const auto read = [&](const char* key, auto& value) {
    try {
      if constexpr (std::is_same_v<decltype(value), int64_t&>) {
        const auto whole = whole_number(json.at(key));
        TW_CHECK(whole, data, "the model description is damaged at \"{}\": no whole number of a model", key);
        value = *whole;
      } else {
        json.at(key).get_to(value);
      }
    } catch (const nlohmann::json::exception& e) {
      TW_FAIL(data, "the model description is damaged at \"{}\": {}", key, e.what());
    }
  };
  std::string type;
  read("type", type);
  read("vocab_size", m.vocab_size);
  read("make_vocab_size_divisible_by", m.make_vocab_size_divisible_by);
  read("hidden_size", m.hidden_size);
  read("intermediate_size", m.intermediate_size);
  read("num_hidden_layers", m.num_hidden_layers);
  read("num_attention_heads", m.num_attention_heads);
  read("num_key_value_heads", m.num_key_value_heads);
  read("head_dim", m.head_dim);
  read("max_position_embeddings", m.max_position_embeddings);
  read("rope_theta", m.rope_theta);
  read("norm_eps", m.norm_eps);
  read("hidden_act", m.hidden_act);
  read("tie_word_embeddings", m.tie_word_embeddings);
  read("initializer_range", m.initializer_range);
  try {
    m.type = architecture_named(type);
    m.check();
  } catch (const Error& e) {  // the settings are the file's, not the user's
    TW_FAIL(data, "the model description is damaged: {}", e.what());
  }
  return m;
}

}  // namespace tw
