// What a GPU's memory and matrix units do, with our own ops and the driver's copies.
#include <algorithm>
#include <limits>

#include "kernels/matmul.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise.h"
#include "src/core/gpu.h"
#include "src/roof/roof.h"

namespace tw {
namespace {

constexpr int kRepeats = 7;

// Seconds of `calls` calls in a row, by the device's own clock.
template <class Body>
Spread time_on_gpu(const Stream& stream, double budget, int calls, Body&& body) {
  gpu::Event start(stream.device(), true), end(stream.device(), true);
  std::vector<double> seconds;
  body();
  synchronize(stream);
  double all = 0;
  while (seconds.size() < kRepeats && (seconds.size() < 3 || all < budget)) {
    start.record(stream);
    for (int i = 0; i < calls; ++i) body();
    end.record(stream);
    end.wait();
    seconds.push_back(end.seconds_since(start) / calls);
    all += seconds.back() * calls;
  }
  return spread_of(seconds);
}

// Numbers as they come: a matrix unit draws less power, and runs faster, on zeros.
Tensor varied(Shape shape, DType dtype, const Stream& stream) {
  Tensor host(shape, DType::fp32), narrow(shape, DType::fp32, stream.device()), x(shape, dtype, stream.device());
  uint32_t state = 1;
  for (int64_t i = 0; i < host.count(); ++i) {
    state = state * 1664525u + 1013904223u;
    host.as<float>()[i] = float(int32_t(state)) * 0x1p-31f;
  }
  copy(host.view(), narrow.view(), stream);
  cast({.in = narrow.view(), .out = x.view()}, stream);
  synchronize(stream);
  return x;
}

}  // namespace

std::vector<MatrixRate> measure_gpu_matrix_rates(Communicator& comm, const Stream& stream, double budget) {
  // An emulated device is measured too, in a size it can bear.
  const int64_t most = gpu::properties(stream.device().index).multiprocessors >= 16 ? 8192 : 64;
  std::vector<MatrixRate> rates;
  for (const DType dtype : {DType::fp32, DType::bf16})
    for (const int64_t depth : {most, most / 8}) {
      const Tensor a = varied({most, depth}, dtype, stream), b = varied({most, depth}, dtype, stream);
      Tensor out({most, most}, dtype, stream.device());
      const MatMul op = {.a = a.view(), .b = b.view(), .out = out.view(), .transpose_b = true};
      comm.barrier();
      rates.push_back({dtype, most, most, depth, "cuBLASLt", time_on_gpu(stream, budget, 4, [&] { matmul(op, stream); })});
    }
  return rates;
}

std::vector<MemoryRate> measure_gpu_memory_rates(Communicator& comm, const Stream& stream, double budget) {
  const gpu::Properties own = gpu::properties(stream.device().index);
  const double l2 = double(own.l2);
  std::vector<MemoryRate> rates = {{.level = "L2", .capacity = l2, .working_set = l2 / 2},
                                   {.level = "memory",
                                    .capacity = std::numeric_limits<double>::infinity(),
                                    .working_set = std::min(double(size_t(4) << 30), std::max(8 * l2, double(own.memory) / 64))}};
  for (MemoryRate& r : rates) {
    const int64_t n = int64_t(r.working_set / 3 / sizeof(float)) / 1024 * 1024;
    Tensor a({n}, DType::fp32, stream.device()), b({n}, DType::fp32, stream.device()), c({n}, DType::fp32, stream.device());
    r.working_set = 3 * double(n) * sizeof(float);
    comm.barrier();
    const auto rate = [&](double arrays, auto&& body) {
      const Spread s = time_on_gpu(stream, budget, 8, body);
      r.noise = std::max(r.noise, s.noise());
      return arrays * double(n) * sizeof(float) / s.best;
    };
    Tensor sum({1}, DType::fp64, stream.device());
    r.read = rate(1, [&] { sum_of_squares({.x = a.view(), .sums = sum.view()}, stream); });
    r.copy = rate(2, [&] { gpu::copy(b.view().data, a.view().data, a.view().bytes(), stream); });
    r.triad = rate(3, [&] { add({.a = a.view(), .b = b.view(), .out = c.view()}, stream); });
  }
  return rates;
}

}  // namespace tw
