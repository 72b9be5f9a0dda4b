// x[n,:] = token_table[ids[n],:] (+ position_table[positions of n,:]).
#pragma once
#include "src/core/tensor.h"

namespace tw {

struct EmbeddingForward {
  ConstView ids;       // (B, T) i32, each in [0, V); others are Error(data)
  ConstView tokens;    // (V, C) of x's dtype; or (V, int8_row(C)) i8, on a CPU (kernels/int8_matmul.h)
  ConstView token_scales;  // (V, int8_groups(C)) bf16 with tokens i8, else empty
  ConstView positions; // (P, C) of x's dtype, or empty; token t of a row stands at
                       // first_position + t < P
  ConstView starts;    // (B, T) i32: where the document of each token begins in its row, which is position 0 then; or empty
  View x;              // (B, T, C), fp32 or bf16, overwritten
  int64_t first_position = 0;  // 0 with starts
};
void embedding_forward(const EmbeddingForward& op, const Stream& stream);

// Rows are added in the order of (b, t) for every id, so bits never depend on threads.
struct EmbeddingBackward {
  ConstView ids;     // (B, T) i32
  ConstView starts;  // as in forward
  ConstView dx;      // (B, T, C), fp32 or bf16
  View dtokens;      // (V, C) fp32, added to
  View dpositions;   // (P, C) fp32, added to; or empty
};
void embedding_backward(const EmbeddingBackward& op, const Stream& stream);

namespace cpu {
void embedding_forward(const EmbeddingForward& op, const Stream& stream);
void embedding_backward(const EmbeddingBackward& op, const Stream& stream);
}  // namespace cpu
namespace cuda {
void embedding_forward(const EmbeddingForward& op, const Stream& stream);
void embedding_backward(const EmbeddingBackward& op, const Stream& stream);
}  // namespace cuda

}  // namespace tw
