// A model's matrices as 8-bit integers, for inference: about half the bytes of bf16 (kernels/int8_matmul.h). Linear layers and
// tokens.weight, which is the head too where they are tied, are quantised; the token embedding is read from the same integers.
// Norms, biases and learned positions stay in the compute dtype.
#pragma once
#include <string>
#include <vector>

#include "src/nn/layer.h"

namespace tw {

enum class Quantization { none, int8 };
Quantization quantization_named(const std::string& name);  // Error(config)
std::string name_of(Quantization quantization);

class Int8Weights {
 public:
  // weights: flat (table.flat_count() or more) fp32, on the host; not kept. dtype: fp32 or bf16, of activations and of what
  // is not quantised. Error(config) where the stream is not of the CPU, Error(data) naming the parameter that is not finite.
  Int8Weights(const ParameterTable& table, ConstView weights, DType dtype, const Stream& stream);
  Parameter operator()(const std::string& name) const;  // Error(bug) for an unknown name
  DType dtype() const noexcept { return kept_.dtype(); }
  int64_t bytes() const noexcept;  // of everything a model needs: integers, scales and what is kept

 private:
  struct Place {
    const ParameterInfo* info;
    bool quantized;
    int64_t value, scale;  // first element in values_ and scales_, or in kept_
  };
  ParameterTable table_;
  std::vector<Place> places_;
  Tensor values_, scales_, kept_;
  Tensor scratch_;  // of products with many rows, one at a time
  View scratch_view_;
};

}  // namespace tw
