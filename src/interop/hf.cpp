#include "src/interop/hf.h"

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "src/core/file.h"
#include "src/core/json_guard.h"
#include "src/interop/safetensors.h"

namespace tw {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

json read_json(const fs::path& path) {
  const std::string text = read_file(path, size_t(64) << 20);
  check_json_structure(text, {}, path.string());
  json j = json::parse(text, nullptr, false);
  TW_CHECK(!j.is_discarded() && j.is_object(), data, "{} is no valid JSON object", path.string());
  return j;
}

// One setting, with the reason of a failure in the user's words.
class Settings {
 public:
  Settings(json j, std::string file) : json_(std::move(j)), file_(std::move(file)) {}
  bool has(const char* key) const { return json_.contains(key) && !json_.at(key).is_null(); }
  template <class T>
  T get(const char* key) const {
    TW_CHECK(has(key), data, "{}: \"{}\" is missing", file_, key);
    return get_or<T>(key, T{});
  }
  template <class T>
  T get_or(const char* key, T fallback) const {
    if (!has(key)) return fallback;
    if constexpr (std::is_same_v<T, int64_t>) {
      const auto whole = whole_number(json_.at(key), 0, int64_t(1) << 40);
      TW_CHECK(whole, data, "{}: \"{}\" = {} is no whole number of a model", file_, key, json_.at(key).dump().substr(0, 100));
      return *whole;
    }
    try {
      return json_.at(key).get<T>();
    } catch (const json::exception& e) {
      TW_FAIL(data, "{}: \"{}\" is of the wrong kind: {}", file_, key, e.what());
    }
  }
  void refuse(const char* key, const json& only) const {
    TW_CHECK(!json_.contains(key) || json_.at(key) == only || json_.at(key).is_null(), data,
             "{}: \"{}\" = {} is not supported (only {})", file_, key, json_.at(key).dump(), only.dump());
  }
  const json& raw() const { return json_; }
  const std::string& file() const { return file_; }

 private:
  json json_;
  std::string file_;
};

std::string activation(const Settings& s, const std::string& name) {
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return "gelu_new";
  if (name == "gelu" || name == "silu") return name;
  TW_FAIL(data, "{}: the activation \"{}\" is not supported (gelu_new, gelu_pytorch_tanh, gelu, silu)", s.file(), name);
}

ModelConfig gpt2_config(const Settings& s) {
  for (const char* key : {"scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"})
    s.refuse(key, false);
  s.refuse("scale_attn_weights", true);
  ModelConfig m;
  m.type = Architecture::gpt2;
  m.vocab_size = s.get<int64_t>("vocab_size");
  m.hidden_size = s.get<int64_t>("n_embd");
  m.num_hidden_layers = s.get<int64_t>("n_layer");
  m.num_attention_heads = m.num_key_value_heads = s.get<int64_t>("n_head");
  TW_CHECK(m.num_attention_heads > 0 && m.hidden_size % m.num_attention_heads == 0, data,
           "{}: n_embd = {} is not a multiple of n_head = {}", s.file(), m.hidden_size, m.num_attention_heads);
  m.head_dim = m.hidden_size / m.num_attention_heads;
  m.intermediate_size = s.get_or<int64_t>("n_inner", 4 * m.hidden_size);
  m.max_position_embeddings = s.has("n_positions") ? s.get<int64_t>("n_positions") : s.get<int64_t>("n_ctx");
  m.norm_eps = s.get_or("layer_norm_epsilon", 1e-5);
  m.hidden_act = activation(s, s.get_or<std::string>("activation_function", "gelu_new"));
  m.tie_word_embeddings = s.get_or("tie_word_embeddings", true);
  m.initializer_range = s.get_or("initializer_range", 0.02);
  return m;
}

double rope_theta(const Settings& s) {
  double theta = s.get_or("rope_theta", 10000.0);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (!s.has(key)) continue;
    const Settings rope(s.raw().at(key), s.file() + ": " + key);
    TW_CHECK(rope.raw().is_object(), data, "{}: \"{}\" is no object", s.file(), key);
    const auto type = rope.get_or<std::string>("rope_type", rope.get_or<std::string>("type", "default"));
    TW_CHECK(type == "default", data, "{}: rope type \"{}\" is not supported (only \"default\")", s.file(), type);
    rope.refuse("partial_rotary_factor", 1.0);
    theta = rope.get_or("rope_theta", theta);
  }
  return theta;
}

ModelConfig llama_config(const Settings& s) {
  s.refuse("attention_bias", false);
  s.refuse("mlp_bias", false);
  ModelConfig m;
  m.type = Architecture::llama;
  m.vocab_size = s.get<int64_t>("vocab_size");
  m.hidden_size = s.get<int64_t>("hidden_size");
  m.intermediate_size = s.get<int64_t>("intermediate_size");
  m.num_hidden_layers = s.get<int64_t>("num_hidden_layers");
  m.num_attention_heads = s.get<int64_t>("num_attention_heads");
  m.num_key_value_heads = s.get_or("num_key_value_heads", m.num_attention_heads);
  TW_CHECK(m.num_attention_heads > 0, data, "{}: num_attention_heads = {}", s.file(), m.num_attention_heads);
  m.head_dim = s.get_or("head_dim", m.hidden_size / m.num_attention_heads);
  m.max_position_embeddings = s.get_or<int64_t>("max_position_embeddings", 2048);
  m.rope_theta = rope_theta(s);
  m.norm_eps = s.get_or("rms_norm_eps", 1e-6);
  m.hidden_act = activation(s, s.get_or<std::string>("hidden_act", "silu"));
  m.tie_word_embeddings = s.get_or("tie_word_embeddings", false);
  m.initializer_range = s.get_or("initializer_range", 0.02);
  return m;
}

}  // namespace

std::vector<HfTensor> hf_tensors(const ModelConfig& m, const ParameterInfo& p) {
  const bool gpt2 = m.type == Architecture::gpt2;
  const int64_t rows = p.shape[0];
  if (p.name == "tokens.weight") return {{gpt2 ? "transformer.wte.weight" : "model.embed_tokens.weight", m.vocab_size}};
  if (p.name == "positions.weight") return {{"transformer.wpe.weight", rows}};
  if (p.name == "head.weight") return {{"lm_head.weight", m.vocab_size}};
  if (p.name.starts_with("final_norm.")) {
    const std::string part = p.name.substr(std::string("final_norm.").size());
    return {{(gpt2 ? "transformer.ln_f." : "model.norm.") + part, rows}};
  }
  // layers.<i>.<what>.<part>
  const size_t dot = p.name.find('.', 7);
  const std::string layer = (gpt2 ? "transformer.h." : "model.layers.") + p.name.substr(7, dot - 7) + ".";
  const size_t last = p.name.rfind('.');
  const std::string what = p.name.substr(dot + 1, last - dot - 1), part = p.name.substr(last);
  if (gpt2) {
    static const std::map<std::string, std::string> names = {{"attention_norm", "ln_1"},      {"mlp_norm", "ln_2"},
                                                             {"attention.qkv", "attn.c_attn"}, {"attention.out", "attn.c_proj"},
                                                             {"mlp.up", "mlp.c_fc"},           {"mlp.down", "mlp.c_proj"}};
    return {{layer + names.at(what) + part, rows, p.shape.rank() == 2}};
  }
  if (what == "attention.qkv") {
    const int64_t kv = m.num_key_value_heads * m.head_dim;
    return {{layer + "self_attn.q_proj" + part, m.attention_size()}, {layer + "self_attn.k_proj" + part, kv},
            {layer + "self_attn.v_proj" + part, kv}};
  }
  if (what == "mlp.gate_up")
    return {{layer + "mlp.gate_proj" + part, m.intermediate_size}, {layer + "mlp.up_proj" + part, m.intermediate_size}};
  static const std::map<std::string, std::string> names = {{"attention_norm", "input_layernorm"},
                                                           {"mlp_norm", "post_attention_layernorm"},
                                                           {"attention.out", "self_attn.o_proj"},
                                                           {"mlp.down", "mlp.down_proj"}};
  return {{layer + names.at(what) + part, rows}};
}

namespace {

// out[c, r] = in[r, c]
void transpose(const float* in, int64_t rows, int64_t columns, float* out) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) out[c * rows + r] = in[r * columns + c];
}

class HfFiles {
 public:
  explicit HfFiles(const fs::path& folder) : folder_(folder) {
    std::set<std::string> names = {"model.safetensors"};
    const fs::path index = folder / "model.safetensors.index.json";
    if (!fs::exists(folder / "model.safetensors") && fs::exists(index)) {
      names.clear();
      const json j = read_json(index);
      TW_CHECK(j.contains("weight_map") && j.at("weight_map").is_object(), data, "{}: \"weight_map\" is missing", index.string());
      for (const auto& [tensor, file] : j.at("weight_map").items()) {
        TW_CHECK(file.is_string(), data, "{}: the file of \"{}\" is no text", index.string(), tensor);
        const auto name = file.get<std::string>();
        TW_CHECK(!name.empty() && fs::path(name).filename() == name && name != "..", data,
                 "{}: \"{}\" names a file outside its folder", index.string(), name);
        names.insert(name);
      }
    }
    for (const auto& n : names) files_.push_back(std::make_unique<SafetensorsFile>(folder / n));
  }
  // Older GPT-2 folders leave the "transformer." out.
  std::pair<const SafetensorsFile*, const SafetensorsEntry*> find(const std::string& name) const {
    const std::string prefix = "transformer.";
    for (const auto& f : files_) {
      if (const auto* e = f->find(name)) return {f.get(), e};
      if (name.starts_with(prefix))
        if (const auto* e = f->find(name.substr(prefix.size()))) return {f.get(), e};
    }
    TW_FAIL(data, "{}: the tensor \"{}\" is missing", folder_.string(), name);
  }
  const std::vector<std::unique_ptr<SafetensorsFile>>& all() const { return files_; }

 private:
  fs::path folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
};

// Buffers and tied copies that hold no weight of their own.
bool ignorable(const ModelConfig& m, const std::string& name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") || name.ends_with(".rotary_emb.inv_freq") ||
         (m.tie_word_embeddings && name == "lm_head.weight");
}

}  // namespace

ModelConfig read_hf_config(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  const Settings s(read_json(path), path.string());
  const auto type = s.get<std::string>("model_type");
  TW_CHECK(type == "gpt2" || type == "llama", data, "{}: model_type \"{}\" is not supported (gpt2, llama)", path.string(), type);
  ModelConfig m = type == "gpt2" ? gpt2_config(s) : llama_config(s);
  try {
    m.check();
  } catch (const Error& e) {  // the settings are the file's, not the user's
    TW_FAIL(data, "{}: {}", path.string(), e.what());
  }
  return m;
}

void read_hf_weights(const fs::path& folder, const ModelConfig& model, const ParameterTable& table, View flat) {
  const HfFiles files(folder);
  std::set<std::string> used;
  float* weights = flat.as<float>();
  std::vector<float> scratch;
  for (const ParameterInfo& p : table.all()) {
    float* out = weights + p.offset;
    const int64_t columns = p.shape.rank() == 2 ? p.shape[1] : 1;
    for (const HfTensor& source : hf_tensors(model, p)) {
      const auto [file, entry] = files.find(source.name);
      used.insert(entry->name);
      std::vector<int64_t> want = {source.rows};
      if (p.shape.rank() == 2) want.push_back(columns);
      if (source.transposed) std::swap(want[0], want[1]);
      TW_CHECK(entry->shape == want, data, "{}: the tensor \"{}\" has {} values in {} dimensions; config.json asks for {} x {}",
               file->path().string(), entry->name, entry->count(), entry->shape.size(), want[0], want.size() > 1 ? want[1] : 1);
      const int64_t n = source.rows * columns;
      if (source.transposed) {
        scratch.resize(size_t(n));
        file->read(*entry, 0, n, scratch.data());
        transpose(scratch.data(), columns, source.rows, out);
      } else {
        file->read(*entry, 0, n, out);
      }
      out += n;
    }
    // Only now: a config.json that lies about sizes must not make us fill memory its files do not.
    std::fill(out, weights + p.offset + p.count(), 0.0f);
  }
  for (const auto& f : files.all())
    for (const auto& e : f->entries())
      TW_CHECK(used.contains(e.name) || ignorable(model, e.name), data,
               "{}: the tensor \"{}\" belongs to no part of a {} model", f->path().string(), e.name, name_of(model.type));
}

void write_hf_model(const fs::path& folder, const ModelConfig& m, const ParameterTable& table, ConstView flat,
                    const HfExport& options) {
  TW_CHECK(m.type != Architecture::gpt2 || (m.head_dim * m.num_attention_heads == m.hidden_size &&
                                            m.num_key_value_heads == m.num_attention_heads),
           config, "this GPT-2 model has {} heads of {} and {} key/value heads at width {}: Hugging Face's GPT-2 cannot hold it",
           m.num_attention_heads, m.head_dim, m.num_key_value_heads, m.hidden_size);
  make_folders(folder);
  std::vector<SafetensorsTensor> tensors;
  std::vector<std::vector<float>> transposed;
  transposed.reserve(table.all().size());
  const float* weights = flat.as<float>();
  for (const ParameterInfo& p : table.all()) {
    const float* w = weights + p.offset;
    const int64_t columns = p.shape.rank() == 2 ? p.shape[1] : 1;
    for (const HfTensor& source : hf_tensors(m, p)) {
      std::vector<int64_t> shape = {source.rows};
      if (p.shape.rank() == 2) shape.push_back(columns);
      const float* values = w;
      if (source.transposed) {
        transposed.emplace_back(size_t(source.rows * columns));
        transpose(w, source.rows, columns, transposed.back().data());
        values = transposed.back().data();
        std::swap(shape[0], shape[1]);
      }
      tensors.push_back({source.name, shape, values});
      w += source.rows * columns;
    }
  }
  write_safetensors(folder / "model.safetensors", tensors, options.dtype);

  const char* dtype = options.dtype == DType::fp32 ? "float32" : options.dtype == DType::bf16 ? "bfloat16" : "float16";
  nlohmann::ordered_json j;
  if (m.type == Architecture::gpt2) {
    j = {{"architectures", {"GPT2LMHeadModel"}}, {"model_type", "gpt2"}, {"vocab_size", m.vocab_size},
         {"n_positions", m.max_position_embeddings}, {"n_embd", m.hidden_size}, {"n_layer", m.num_hidden_layers},
         {"n_head", m.num_attention_heads}, {"n_inner", m.intermediate_size}, {"activation_function", m.hidden_act},
         {"layer_norm_epsilon", m.norm_eps}, {"attn_pdrop", 0.0}, {"embd_pdrop", 0.0}, {"resid_pdrop", 0.0}};
  } else {
    j = {{"architectures", {"LlamaForCausalLM"}}, {"model_type", "llama"}, {"vocab_size", m.vocab_size},
         {"hidden_size", m.hidden_size}, {"intermediate_size", m.intermediate_size},
         {"num_hidden_layers", m.num_hidden_layers}, {"num_attention_heads", m.num_attention_heads},
         {"num_key_value_heads", m.num_key_value_heads}, {"head_dim", m.head_dim},
         {"max_position_embeddings", m.max_position_embeddings}, {"rms_norm_eps", m.norm_eps},
         {"rope_theta", m.rope_theta}, {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", m.rope_theta}}},
         {"hidden_act", m.hidden_act}, {"attention_bias", false}, {"mlp_bias", false}, {"attention_dropout", 0.0}};
  }
  j["initializer_range"] = m.initializer_range;
  j["tie_word_embeddings"] = m.tie_word_embeddings;
  j["dtype"] = dtype;
  j["torch_dtype"] = dtype;
  j["use_cache"] = true;
  nlohmann::ordered_json generation = {{"_from_model_config", true}};
  for (auto* target : {&j, &generation}) {
    (*target)["bos_token_id"] = options.bos_token_id >= 0 ? json(options.bos_token_id) : json(nullptr);
    (*target)["eos_token_id"] = options.eos_token_id >= 0 ? json(options.eos_token_id) : json(nullptr);
  }
  write_file_atomically(folder / "config.json", j.dump(2) + "\n");
  write_file_atomically(folder / "generation_config.json", generation.dump(2) + "\n");
}

}  // namespace tw
