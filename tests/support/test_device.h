// Where the ops of a test run: on the CPU, or, where TW_TEST_ON_GPU is defined, on a GPU, real or emulated. Tensors then lie
// in pinned memory, which both sides reach; where a library may want memory of the device alone, Mirror copies there and back.
#pragma once
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "src/core/gpu.h"
#include "src/core/tensor.h"
#include "src/core/thread_team.h"

namespace tw {

#ifdef TW_TEST_ON_GPU
inline constexpr bool kOnGpu = true;
#else
inline constexpr bool kOnGpu = false;
#endif

// Where the ops of a test run. Results may be read after finish().
class OpStream {
 public:
  explicit OpStream(int threads = 1) : team_(threads), stream_(team_) {
    if (!kOnGpu) return;
    // One for all tests: its scratch memory is large.
    static ThreadTeam one(1);
    static const gpu::Queue queue(Device{DeviceKind::cuda, 0}, one);
    stream_ = queue.stream();
  }
  operator const Stream&() const { return stream_; }
  void finish() const { synchronize(stream_); }

 private:
  ThreadTeam team_;
  Stream stream_;
};

// Zeros.
inline Tensor tensor(Shape shape, DType dtype) {
  if (!kOnGpu) return Tensor(shape, dtype);
  static const OpStream anywhere;
  Tensor x = Tensor::beside(anywhere, shape, dtype);
  if (x.view()) std::memset(x.view().data, 0, x.view().bytes());
  return x;
}

// Views of a test's tensors in memory of the device; on the CPU they are the tensors themselves.
class Mirror {
 public:
  explicit Mirror(const Stream& stream) : stream_(stream) {}
  ConstView in(ConstView host) { return mirror({const_cast<void*>(host.data), host.dtype, host.shape}); }
  // What is there is copied too; done() copies it back.
  View out(View host) {
    const View device = mirror(host);
    if (device) outputs_.emplace_back(device, host);
    return device;
  }
  void done() {
    if (kOnGpu)
      for (const auto& [device, host] : outputs_) copy(device, host, stream_);
    outputs_.clear();
    synchronize(stream_);
  }

 private:
  View mirror(View host) {
    if (!kOnGpu || host.bytes() == 0) return host;
    memory_.emplace_back(host.shape, host.dtype, stream_.device());
    copy(host, memory_.back().view(), stream_);
    return memory_.back().view();
  }
  Stream stream_;
  std::deque<Tensor> memory_;
  std::vector<std::pair<View, View>> outputs_;
};

}  // namespace tw
