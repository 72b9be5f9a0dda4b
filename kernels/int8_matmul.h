// Products with a weight matrix of 8-bit integers, symmetric, with a scale for each group of kInt8Group weights of a row:
//   w[n,k] = values[n,k] scales[n, k / kInt8Group];  out[m,n] = sum_k a[m,k] w[n,k] (+ bias[n])
// Rounding to nearest with the largest weight at 127 ("absmax", Dettmers et al. 2022, arXiv:2208.07339 section 2, of small
// groups as Frantar et al. 2023, arXiv:2210.17323 section 4). On a CPU only. Bits do not depend on the number of threads.
#pragma once
#include "src/core/tensor.h"

namespace tw {

inline constexpr int64_t kInt8Group = 64;
constexpr int64_t int8_groups(int64_t K) { return (K + kInt8Group - 1) / kInt8Group; }
constexpr int64_t int8_row(int64_t K) { return int8_groups(K) * kInt8Group; }  // bytes of a row; 0 behind its K weights

// Every weight within half a scale of what it was; a group of zeros has scale 0. Error(data) where a weight is not finite or
// too large for a scale in bf16.
struct QuantizeInt8 {
  ConstView weights;  // (N, K) fp32
  View values;        // (N, int8_row(K)) i8, overwritten
  View scales;        // (N, int8_groups(K)) bf16, overwritten: values times scales is exact in fp32
};
void quantize_int8(const QuantizeInt8& op, const Stream& stream);

// Up to 8 rows of a are taken as 16-bit integers, with a scale for each group of kInt8Group: within 2^-16 of the group's
// largest. For more rows the weights are made again in a's dtype, some rows at a time, for kernels/matmul.h.
// A row of a that holds NaN or infinity gives NaN.
struct Int8MatMul {
  ConstView a;       // (M, K) fp32 or bf16
  ConstView values;  // (N, int8_row(K)) i8, 0 behind K
  ConstView scales;  // (N, int8_groups(K)) bf16
  View out;          // (M, N) fp32 or bf16, overwritten
  ConstView bias;    // (N), fp32 or a's dtype, or empty
  View scratch;      // (int8_scratch(K)) u8; may be empty where M <= 8
};
int64_t int8_scratch(int64_t K);  // bytes
void int8_matmul(const Int8MatMul& op, const Stream& stream);

namespace cpu {
void quantize_int8(const QuantizeInt8& op, const Stream& stream);
void int8_matmul(const Int8MatMul& op, const Stream& stream);
void int8_few_rows(const Int8MatMul& op, const Stream& stream);  // M <= kFewRows of kernels/cpu/matmul.h
}  // namespace cpu

}  // namespace tw
