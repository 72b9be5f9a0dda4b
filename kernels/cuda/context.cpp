#include "kernels/cuda/context.h"

#include "kernels/cuda/attention_choice.h"
#include "kernels/cuda/products.h"

namespace tw::cuda {

Context::Context(Device device)
    : device_(device), scratch_(kScratch, device) {}
Context::~Context() = default;

void* Context::scratch_bytes(size_t bytes) {
  TW_CHECK(bytes <= kScratch, bug, "an op asks for {} bytes of scratch memory, there are {}", bytes, kScratch);
  return scratch_.data();
}

Products& Context::products() {
  if (!products_) products_ = std::make_unique<Products>(device_);
  return *products_;
}

const AttentionChoice& Context::attention(int64_t head_dim, const Stream& stream) {
  auto& choice = attention_[head_dim];
  if (!choice) choice = std::make_unique<AttentionChoice>(head_dim, stream);
  return *choice;
}

Context& context_of(const Stream& stream) {
  auto& attachment = gpu::state_of(stream).attachment;
  if (!attachment) attachment = std::make_unique<Context>(stream.device());
  return static_cast<Context&>(*attachment);
}

}  // namespace tw::cuda
