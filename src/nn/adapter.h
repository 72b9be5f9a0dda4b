// Low-rank adapters of linear layers (LoRA, Hu et al. 2021, arXiv:2106.09685 section 4.1): the weight W of a pretrained model is frozen,
// and what is trained is a product of two thin matrices beside it:
//   y = x W^T + (alpha / r) (x A^T) B^T
// A begins random and B at zero, so that training starts from the model as it is. A layer that holds several matrices one above the other
// (q, k, v; gate, up) has an adapter for each, with an A of its own, as if they were layers of their own.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "kernels/adapter.h"
#include "src/nn/adapter_config.h"
#include "src/nn/layer.h"

namespace tw {

// What a linear layer has where it is adapted.
struct AdapterShape {
  int64_t out = 0, in = 0, rank = 0;
  AdapterParts parts;
  float scale = 1;
  int64_t wide() const noexcept { return parts.count * rank; }
};
// layer: "attention.qkv", "attention.out", "mlp.up", "mlp.gate_up" or "mlp.down"; nothing where it is not adapted.
std::optional<AdapterShape> adapter_shape(const ModelConfig& model, const AdapterConfig& config, std::string_view layer);
// The kinds of linear layers of a block that are adapted.
std::vector<std::string> adapted_layers(const ModelConfig& model, const AdapterConfig& config);

// The trained parameters: layers.<i>.<layer>.lora_a (parts r, in), the parts' A one above the other, and layers.<i>.<layer>.lora_b (out, r).
ParameterTable adapter_table(const ModelConfig& model, const AdapterConfig& config);

// W := W + scale B A in every adapted weight of `weights` (flat, fp32, of `table`, on the host). adapters: flat, fp32, of adapter_table().
void merge_adapters(const ModelConfig& model, const AdapterConfig& config, const ParameterTable& table, View weights, ConstView adapters,
                    const Stream& stream);

// The adapters of one linear layer.
class Adapter {
 public:
  // name: the layer's, "layers.3.attention.qkv".
  Adapter(ArenaPlan& plan, const PassSizes& sizes, const std::string& name, const AdapterShape& shape);
  void bind(const Arena& arena, const ParameterViews& parameters);

  void add_output(ConstView x, View y, const Stream& stream) const;  // y (N, out) += scale (x A^T) B^T, x (N, in)
  // Adds the gradients of A and B. Then add_input_gradient(dx), before any other adapter's backward: dx (N, in) += scale (dy B) A.
  void backward(ConstView x, ConstView dy, const Stream& stream) const;
  void add_input_gradient(View dx, const Stream& stream) const;

 private:
  void project(ConstView x, const Stream& stream) const;  // inner_ and spread_
  std::string name_;
  AdapterShape shape_;
  bool training_;
  int inner_id_ = -1, dinner_id_ = -1, spread_id_ = -1, dspread_id_ = -1;
  Parameter a_, b_;
  View inner_, dinner_;    // (N, wide): x A^T and its gradient; of all adapters one memory, as the others
  View spread_, dspread_;  // (out, wide): kernels/adapter.h
};

}  // namespace tw
