// What every layer keeps to:
//   plan(arena, sizes)  names the activations it must keep for backward;
//   bind(arena, parameters)  takes its views once, before the first step;
//   forward(...), backward(...)  run ops on the stream, allocate nothing.
// Parameter gradients are added to (zeroing is the trainer's), activation gradients are overwritten.
#pragma once
#include <string>

#include "src/core/arena.h"
#include "src/nn/parameters.h"

namespace tw {

// What the backward pass computes again instead of keeping it. none: nothing. selective: outputs of norms and of the
// activation function, which cost little. full: all of a block but the residual stream at its start. Results are the same
// bits (on a GPU, those of selective within rounding: its library makes GELU with the product, and not as we do alone). Chen et al. 2016, arXiv:1604.06174; Korthikanti et al. 2022, arXiv:2205.05198 section 5.
enum class Checkpointing { none, selective, full };
Checkpointing checkpointing_named(const std::string& name);  // Error(config)

// The shape of one forward pass: B rows of T tokens, N = B T.
struct PassSizes {
  int64_t batch = 0, seq_len = 0;
  DType dtype = DType::fp32;  // of activations and compute weights
  bool training = true;       // false: nothing is kept for a backward pass, layers share buffers
  Checkpointing checkpointing = Checkpointing::selective;
  int64_t logits_at_once = int64_t(1) << 24;  // elements: memory does not grow with vocabulary x tokens
  int64_t rows() const { return batch * seq_len; }
};

struct Parameter {
  ConstView value;        // compute dtype; or i8, with scales: a matrix of kernels/int8_matmul.h
  View gradient = {};     // fp32, added to; empty outside training
  ConstView scales = {};  // bf16, of a value in i8; else empty
  View scratch = {};      // of products with a value in i8
};

class Int8Weights;  // nn/int8_weights.h

// The weights a model computes with, kept alive by their owner. With adapters (nn/adapter.h) all others are frozen: gradients are the adapters'.
struct ModelWeights {
  ModelWeights() = default;
  ModelWeights(ConstView flat) : flat(flat) {}  // (flat_count or more) of the compute dtype
  ModelWeights(View flat) : flat(flat) {}
  ModelWeights(const Int8Weights& int8) : int8(&int8) {}  // inference alone
  DType dtype() const;  // the compute dtype

  ConstView flat;
  const Int8Weights* int8 = nullptr;
  const ParameterTable* adapter_table = nullptr;  // null = no adapters
  ConstView adapters;                             // (adapter_table->flat_count() or more) of the compute dtype
};

// Parameters by name.
class ParameterViews {
 public:
  // gradients: fp32, flat_count or more of what is trained; or empty.
  ParameterViews(const ParameterTable& table, const ModelWeights& weights, View gradients);
  Parameter operator()(const std::string& name) const;

 private:
  const ParameterTable* table_;
  ModelWeights weights_;
  View gradients_;
};

// logits_at_once for a pass on `device`. A CPU's products are at full speed with few rows; on a GPU each chunk reads and writes
// the whole gradient of the output layer once more, so that few large ones are ahead.
inline int64_t logits_for(Device device) { return int64_t(1) << (device.is_cuda() ? 27 : 24); }

// Adds an activation that backward needs, `layer` being "layers.3.mlp." or the like: memory of its own when training; one
// shared by all layers where nothing is kept, and by those of one kind with full checkpointing.
int plan_activation(ArenaPlan& plan, const PassSizes& sizes, const std::string& layer, const std::string& name,
                    Shape shape, DType dtype);

}  // namespace tw
