// What follows a matrix product where the library cannot do it in the same pass.
#pragma once
#include "kernels/matmul.h"

namespace tw::cuda {

// In place on out (M, N): v = out + bias; gelu: aux := v, out := gelu(v); gelu_backward: out := v gelu'(aux).
struct FinishProduct {
  View out;
  ConstView bias;
  View aux;
  Epilogue epilogue = Epilogue::none;
  bool tanh_form = true;
};
void finish_product(const FinishProduct& op, const Stream& stream);

}  // namespace tw::cuda
