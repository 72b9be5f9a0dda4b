// Matrix products of one stream by cuBLASLt: what was chosen for each shape is kept.
#pragma once
#include <map>
#include <tuple>

#include "kernels/matmul.h"

namespace tw::cuda {

class Products {
 public:
  explicit Products(Device device);
  ~Products();
  // out := or += product (+ bias), and the epilogue where `fused`. Bias of out's dtype.
  void run(const MatMul& op, bool fused, const Stream& stream);
  // Whether the library has an algorithm for it; fused: that does bias and epilogue in one pass.
  bool can_run(const MatMul& op, bool fused);

 private:
  struct Plan;
  // Everything a choice depends on: sizes, layouts, types, alignments, what is fused.
  using Key = std::tuple<int64_t, int64_t, int64_t, int, int, int, int, int, int, int, int, int>;
  Plan& plan_of(const MatMul& op, bool fused);
  Device device_;
  void* handle_ = nullptr;
  Memory workspace_;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace tw::cuda
