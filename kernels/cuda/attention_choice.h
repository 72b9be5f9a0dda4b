// Whether cuDNN or our own kernels do a stream's attention.
#pragma once
#include <memory>
#include <string>

#include "kernels/cuda/attention_cudnn.h"

namespace tw::cuda {

class AttentionChoice {
 public:
  // Runs both on a small case with heads of `head_dim`: cuDNN is taken where it is there and agrees, forward and backward.
  AttentionChoice(int64_t head_dim, const Stream& stream);
  CudnnAttention* cudnn() const noexcept { return cudnn_.get(); }  // null = our own kernels
  const std::string& why() const noexcept { return why_; }         // for people, one sentence

 private:
  std::unique_ptr<CudnnAttention> cudnn_;
  std::string why_;
};

}  // namespace tw::cuda
