// Large copies between plain host memory and a device, through two pinned buffers that take turns: one is copied by the
// host while the other is on its way.
#pragma once
#include "src/core/gpu.h"
#include "src/core/tensor.h"

namespace tw {

class Staging {
 public:
  // On the CPU there is nothing to stage: copies are plain.
  explicit Staging(const Stream& stream, size_t bytes = size_t(8) << 20);
  // Of one dtype and count. Done when the call returns.
  void to_host(ConstView from, View to);
  void to_device(ConstView from, View to);

 private:
  Stream stream_;
  Tensor buffers_[2];  // bytes
};

}  // namespace tw
