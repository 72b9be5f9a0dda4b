// Where the ops of a test run: on the CPU, or, where TW_TEST_ON_GPU is defined, on a GPU, real or emulated. Tensors then lie
// in pinned memory, which both sides reach.
#pragma once
#include <cstring>

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

}  // namespace tw
