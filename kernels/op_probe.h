// What one call of an op has to do, and one who watches the ops of a stream: where does a step's time go? Without a probe
// an op pays one branch for it.
#pragma once
#include "src/core/tensor.h"

namespace tw {

// From the shapes of a call, not from how it is carried out.
struct OpWork {
  double flops = 0;           // additions and multiplications; a division, root or exponential counts as one
  double bytes = 0;           // each input read once, each output written once, and read where it is added to
  DType dtype = DType::fp32;  // of the operands: how fast the arithmetic might be
  Shape shape = {};           // tells calls of one op apart: (M, N, K) of a matrix product; else empty
  const char* form = "";      // of a matrix product: "a b^T"
  bool streamed = false;      // a step needs the operands once: other calls push them out of the caches meanwhile
};

class OpProbe {
 public:
  virtual ~OpProbe() = default;
  // Around every call of an op, in the thread that calls it. Where the op throws, end() is not called.
  virtual void begin(const Stream& stream) = 0;
  virtual void end(const char* op, const OpWork& work, const Stream& stream) = 0;
};

}  // namespace tw
