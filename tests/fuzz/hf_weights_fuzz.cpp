// Weights of a Hugging Face folder. The input: "gpt2" or "llama", the bytes of the data part, a line, the safetensors
// header; or behind "%%%" the index of shards.
#include <charconv>

#include "src/interop/hf.h"
#include "src/nn/parameters.h"
#include "tests/fuzz/fuzz.h"

namespace tw::fuzz {
namespace {

struct Model {
  ModelConfig config;
  ParameterTable table;
  Tensor weights;
  explicit Model(const ModelConfig& c) : config(c), table(c), weights({table.flat_count()}, DType::fp32) {}
};

ModelConfig small(Architecture type) {
  ModelConfig m;
  m.type = type;
  m.vocab_size = 5, m.make_vocab_size_divisible_by = 1;
  m.hidden_size = 4, m.intermediate_size = 6, m.num_hidden_layers = 1;
  m.num_attention_heads = 2, m.num_key_value_heads = type == Architecture::gpt2 ? 2 : 1, m.head_dim = 2;
  m.max_position_embeddings = 3;
  m.tie_word_embeddings = type == Architecture::gpt2;
  if (type == Architecture::llama) m.hidden_act = "silu";
  return m;
}

}  // namespace
}  // namespace tw::fuzz

TW_FUZZ_TARGET(hf_weights) {
  static Model models[] = {Model(small(Architecture::gpt2)), Model(small(Architecture::llama))};
  static const Folder folder;
  std::string_view first = next_part(input);
  Model& model = models[first.starts_with("llama")];
  const size_t line = std::min(first.find('\n'), first.size()), space = std::min(first.find(' '), line);
  size_t bytes = 0;
  std::from_chars(first.data() + std::min(space + 1, line), first.data() + line, bytes);
  const std::string_view header = first.substr(std::min(line + 1, first.size()));
  std::string file;
  for (int i = 0; i < 8; ++i) file += char(header.size() >> (8 * i) & 255);
  file += header;
  file.resize(file.size() + std::min<size_t>(bytes, 4096), '\x3C');
  std::error_code absent;
  std::filesystem::remove(folder.path() / "model.safetensors", absent);
  if (input.empty()) {
    folder.write("model.safetensors", file);
  } else {
    folder.write("one.safetensors", file);
    folder.write("model.safetensors.index.json", input);
  }
  read_hf_weights(folder.path(), model.config, model.table, model.weights.view());
}
