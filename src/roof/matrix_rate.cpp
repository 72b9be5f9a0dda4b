#include <algorithm>
#include <cmath>

#include "kernels/cpu/matmul.h"
#include "kernels/matmul.h"
#include "src/core/thread_team.h"
#include "src/roof/roof.h"

namespace tw {
namespace {

std::string path_text(const MatMul& op) {
  switch (cpu::path_of(op)) {
    case cpu::MatMulPath::few_rows: return "own, few rows";
    case cpu::MatMulPath::bf16_pairs: return "own, pairs of bf16";
    case cpu::MatMulPath::blocks: return "own";
    case cpu::MatMulPath::library: return "OpenBLAS";
  }
  return "";
}

// Small numbers that are no denormals: what they are does not change the rate, denormals would.
void fill(View x) {
  for (int64_t i = 0; i < x.count(); ++i) {
    const float value = float(i % 13 - 6) / 8;
    if (x.dtype == DType::bf16) x.as<bf16>()[i] = bf16(value);
    else x.as<float>()[i] = value;
  }
}

}  // namespace

std::vector<MatrixRate> measure_matrix_rates(Communicator& comm, const Stream& stream, double budget) {
  constexpr int kRepeats = 7;
  // The products are handed out in tiles of up to 512 x 512: a few for each thread.
  const int64_t edge = std::max<int64_t>(2048, 512 * int64_t(std::ceil(std::sqrt(4.0 * stream.team().size()))));
  std::vector<MatrixRate> rates;
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    // As wide as it is deep, and as shallow as the small models are.
    for (const int64_t depth : {int64_t(2048), int64_t(256)}) {
      Tensor a({edge, depth}, dtype), b({edge, depth}, dtype), out({edge, edge}, dtype);
      fill(a.view()), fill(b.view());
      const MatMul op = {.a = a.view(), .b = b.view(), .out = out.view(), .transpose_b = true};
      comm.barrier();
      rates.push_back({dtype, edge, edge, depth, path_text(op), time_repeated(kRepeats, budget, [&] { matmul(op, stream); })});
    }
  }
  return rates;
}

}  // namespace tw
