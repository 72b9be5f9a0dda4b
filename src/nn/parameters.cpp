#include "src/nn/parameters.h"

#include <algorithm>

#include "kernels/optimizer.h"

namespace tw {

void ParameterTable::add(std::string name, Shape shape, Init init) {
  infos_.push_back({std::move(name), shape, shape.rank() >= 2, init, flat_count_});
  flat_count_ += (shape.count() + kParameterBlock - 1) / kParameterBlock * kParameterBlock;
}

ParameterTable::ParameterTable(const ModelConfig& m) {
  const bool gpt2 = m.type == Architecture::gpt2;
  const int64_t C = m.hidden_size, F = m.intermediate_size, V = m.padded_vocab_size();
  const auto norm = [&](const std::string& name) {
    add(name + ".weight", {C}, Init::one);
    if (gpt2) add(name + ".bias", {C}, Init::zero);
  };
  const auto linear = [&](const std::string& name, int64_t out, int64_t in, Init init) {
    add(name + ".weight", {out, in}, init);
    if (gpt2) add(name + ".bias", {out}, Init::zero);
  };

  add("tokens.weight", {V, C}, Init::normal);
  if (gpt2) add("positions.weight", {m.max_position_embeddings, C}, Init::normal);
  for (int64_t i = 0; i < m.num_hidden_layers; ++i) {
    const std::string layer = "layers." + std::to_string(i) + ".";
    norm(layer + "attention_norm");
    linear(layer + "attention.qkv", m.qkv_size(), C, Init::normal);
    linear(layer + "attention.out", C, m.attention_size(), Init::scaled_normal);
    norm(layer + "mlp_norm");
    linear(layer + (gpt2 ? "mlp.up" : "mlp.gate_up"), gpt2 ? F : 2 * F, C, Init::normal);
    linear(layer + "mlp.down", C, F, Init::scaled_normal);
  }
  norm("final_norm");
  if (!m.tie_word_embeddings) add("head.weight", {V, C}, Init::normal);
}

const ParameterInfo& ParameterTable::operator[](const std::string& name) const {
  const auto it = std::find_if(infos_.begin(), infos_.end(), [&](const auto& p) { return p.name == name; });
  TW_CHECK(it != infos_.end(), bug, "the model has no parameter {}", name);
  return *it;
}

int64_t ParameterTable::parameter_count() const noexcept {
  int64_t n = 0;
  for (const auto& p : infos_) n += p.count();
  return n;
}

}  // namespace tw
