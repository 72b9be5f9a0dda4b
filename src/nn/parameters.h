// The parameters of a model: names, shapes and their places in one flat array, which gradients,
// master weights and optimiser state share. Known before anything is allocated.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "src/core/tensor.h"
#include "src/nn/model_config.h"

namespace tw {

// scaled: sigma / sqrt(2 * layers), residual outputs. inner: sigma = 1 / sqrt(3 * columns), A of adapters: normal as in their paper, of the
// variance that PEFT's uniform start has (He et al. 2015, arXiv:1502.01852, with a = sqrt(5)).
enum class Init { normal, scaled_normal, zero, one, inner };

// Logical names: tokens.weight (V, C); positions.weight (P, C); layers.<i>.attention_norm.{weight,bias} (C);
// layers.<i>.attention.qkv.{weight (qkv_size, C), bias}: q heads, k heads, v heads;
// layers.<i>.attention.out.{weight (C, H D), bias}; layers.<i>.mlp_norm.{weight,bias};
// gpt2: layers.<i>.mlp.up.{weight (F, C), bias}; llama: layers.<i>.mlp.gate_up.weight (2 F, C), gate first;
// layers.<i>.mlp.down.{weight (C, F), bias}; final_norm.{weight,bias}; head.weight (V, C) where not tied.
// V is the padded vocabulary: rows from vocab_size on are zero and stay so.
// Weights of linear layers are (out, in): y = x W^T.
struct ParameterInfo {
  std::string name;
  Shape shape;
  bool decayed;    // weight decay: two dimensions or more
  Init init;
  int64_t offset;  // first element in the flat array, a multiple of kParameterBlock
  int64_t count() const { return shape.count(); }
};

class ParameterTable {
 public:
  ParameterTable() = default;
  void add(std::string name, Shape shape, Init init);  // behind the others
  explicit ParameterTable(const ModelConfig& model);
  const std::vector<ParameterInfo>& all() const noexcept { return infos_; }
  const ParameterInfo& operator[](const std::string& name) const;  // Error(bug) for an unknown name
  int64_t flat_count() const noexcept { return flat_count_; }  // with the padding between parameters
  int64_t parameter_count() const noexcept;                    // without it
 private:
  std::vector<ParameterInfo> infos_;
  int64_t flat_count_ = 0;
};

}  // namespace tw
