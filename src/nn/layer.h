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

// The shape of one forward pass: B rows of T tokens, N = B T.
struct PassSizes {
  int64_t batch = 0, seq_len = 0;
  DType dtype = DType::fp32;  // of activations and compute weights
  bool training = true;       // false: nothing is kept for a backward pass, layers share buffers
  int64_t rows() const { return batch * seq_len; }
};

struct Parameter {
  ConstView value;  // compute dtype
  View gradient;    // fp32, added to; empty outside training
};

// Parameters by name in the flat arrays.
class ParameterViews {
 public:
  // weights (>= flat_count) of the compute dtype; gradients fp32 of the same length, or empty.
  ParameterViews(const ParameterTable& table, ConstView weights, View gradients)
      : table_(&table), weights_(weights), gradients_(gradients) {}
  Parameter operator()(const std::string& name) const {
    const ParameterInfo& p = (*table_)[name];
    const int64_t end = p.offset + p.count();
    return {weights_.flat(p.offset, end).reshape(p.shape),
            gradients_ ? gradients_.flat(p.offset, end).reshape(p.shape) : View{}};
  }

 private:
  const ParameterTable* table_;
  ConstView weights_;
  View gradients_;
};

// Adds an activation that backward needs: a block of its own when training, one shared by all layers
// otherwise.
int plan_activation(ArenaPlan& plan, const PassSizes& sizes, const std::string& layer, const std::string& name,
                    Shape shape, DType dtype);

}  // namespace tw
