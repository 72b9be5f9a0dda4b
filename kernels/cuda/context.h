// What the ops of one stream share. Made at its first op, gone with the stream.
#pragma once
#include <map>
#include <memory>

#include "src/core/gpu.h"
#include "src/core/tensor.h"

namespace tw::cuda {

class Products;         // matmul.cpp: the library's handle and the algorithms it chose
class AttentionChoice;  // attention_choice.cpp

class Context final : public gpu::Attachment {
 public:
  explicit Context(Device device);
  ~Context() override;

  // Scratch of at least `bytes`, the same for every op of the stream: whoever asks next may write it. Error(bug) beyond
  // kScratch.
  static constexpr size_t kScratch = size_t(64) << 20;
  template <class T>
  T* scratch(size_t count) {
    return static_cast<T*>(scratch_bytes(count * sizeof(T)));
  }
  Products& products();
  const AttentionChoice& attention(int64_t head_dim, const Stream& stream);

 private:
  void* scratch_bytes(size_t bytes);
  Device device_;
  Memory scratch_;
  std::unique_ptr<Products> products_;
  std::map<int64_t, std::unique_ptr<AttentionChoice>> attention_;  // by the width of a head
};

Context& context_of(const Stream& stream);

}  // namespace tw::cuda
