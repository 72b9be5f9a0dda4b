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
  // out := or += product; fused: with bias, of out's dtype, and epilogue in the same pass. False, and nothing done, where
  // the library has no algorithm for it.
  bool run(const MatMul& op, bool fused, const Stream& stream);

 private:
  struct Plan;
  // Everything a choice depends on: sizes, layouts, types, alignments, what is fused.
  using Key = std::tuple<int64_t, int64_t, int64_t, int, int, int, int, int, int, int, int, int>;
  Plan& plan_of(const MatMul& op, bool fused);
  void* handle_ = nullptr;
  Memory workspace_;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace tw::cuda
