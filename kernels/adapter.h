// The outer matrix B of low-rank adapters (Hu et al. 2021, arXiv:2106.09685 section 4.1) of a weight that is several matrices one above
// the other, as q, k and v are: each of these parts has an adapter of its own, of rank r. With the inner matrices A one above the
// other, too, and B spread so that a row takes the products of its own part's A alone, two matrix products are all adapters at once:
//   y (N, out) += (x A^T) (N, parts r) spread^T
#pragma once
#include <array>

#include "src/core/tensor.h"

namespace tw {

// Rows [ends[i-1], ends[i]) are part i; ends[count-1] = out.
struct AdapterParts {
  static constexpr int kMost = 3;
  int count = 1;
  std::array<int64_t, kMost> ends = {};
  constexpr int of(int64_t row) const noexcept { return (count > 1 && row >= ends[0]) + (count > 2 && row >= ends[1]); }
};

struct AdapterSpread {
  ConstView b;       // (out, r), fp32 or bf16
  View spread;       // (out, parts r), b's dtype, overwritten: scale b in the columns of each row's part, else 0
  AdapterParts parts;
  float scale = 1;
};
void adapter_spread(const AdapterSpread& op, const Stream& stream);

struct AdapterGather {
  ConstView dspread; // (out, parts r) fp32
  View db;           // (out, r) fp32, added to: scale times the columns of each row's part
  AdapterParts parts;
  float scale = 1;
};
void adapter_gather(const AdapterGather& op, const Stream& stream);

namespace cpu {
void adapter_spread(const AdapterSpread& op, const Stream& stream);
void adapter_gather(const AdapterGather& op, const Stream& stream);
}  // namespace cpu
namespace cuda {
void adapter_spread(const AdapterSpread& op, const Stream& stream);
void adapter_gather(const AdapterGather& op, const Stream& stream);
}  // namespace cuda

}  // namespace tw
