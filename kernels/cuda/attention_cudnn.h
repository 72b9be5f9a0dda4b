// Attention by cuDNN, through the graphs of its header-only frontend: bf16, causal, grouped heads, backward in a fixed order.
// Rows of several documents are not its business: their number changes from batch to batch, and its graphs do not.
#pragma once
#include <memory>
#include <string>

#include "kernels/attention.h"

namespace tw::cuda {

// Why it cannot be used, one sentence; "" = it can. A build without the frontend's headers says so.
std::string cudnn_absence();

class CudnnAttention {
 public:
  explicit CudnnAttention(Device device);  // Error(config)
  ~CudnnAttention();
  static bool takes(ConstView qkv, ConstView starts);
  // Error(config) where cuDNN has no plan for the shape.
  void forward(const AttentionForward& op, const Stream& stream);
  void backward(const AttentionBackward& op, const Stream& stream);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tw::cuda
