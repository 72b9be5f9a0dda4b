#include "src/machine/comm_speed.h"

#include <algorithm>

#include "src/machine/spread.h"

namespace tw {
namespace {

constexpr int kMostRepeats = 200;

// How often a call of `seconds` fits into the budget.
int repeats_for(double seconds, double budget) {
  return int(std::clamp(budget / std::max(seconds, 1e-7), 3.0, double(kMostRepeats)));
}

}  // namespace

std::vector<AllReduceSpeed> measure_all_reduce(Communicator& comm, const Stream& stream, bool large, double budget) {
  std::vector<AllReduceSpeed> all;
  if (comm.size() == 1) return all;
  std::vector<int64_t> sizes = {8, 1 << 20, 4 << 20};
  if (large) sizes.push_back(64 << 20);
  for (const int64_t bytes : sizes) {
    Tensor buffer({bytes / 4}, DType::fp32);
    const auto once = [&] {
      comm.barrier();
      const double start = now_seconds();
      comm.all_reduce(buffer.view(), ReduceOp::sum, stream);
      return now_seconds() - start;
    };
    once();
    const int repeats = repeats_for(all_reduce_value(comm, once(), ReduceOp::max), budget);
    std::vector<double> seconds;
    for (int i = 0; i < repeats; ++i) seconds.push_back(once());
    all.push_back({double(bytes), all_reduce_value(comm, median_of(seconds), ReduceOp::max), repeats});
  }
  return all;
}

std::vector<PairSpeed> measure_pairs(Communicator& comm, const Stream& stream, const std::vector<std::pair<int, int>>& pairs,
                                     double budget) {
  constexpr int kTag = 77;
  std::vector<PairSpeed> all;
  Tensor large({int64_t(4) << 20}, DType::u8);
  for (const auto& [from, to] : pairs) {
    PairSpeed speed{.from = from, .to = to};
    for (const int64_t bytes : {int64_t(8), int64_t(4) << 20}) {
      const View message = large.view().flat(0, bytes);
      const auto once = [&] {
        const double start = now_seconds();
        if (comm.rank() == from) comm.send(message, to, kTag, stream), comm.recv(message, to, kTag, stream);
        if (comm.rank() == to) comm.recv(message, from, kTag, stream), comm.send(message, from, kTag, stream);
        return (now_seconds() - start) / 2;
      };
      comm.barrier();
      once();
      // The number of repeats must be both ranks'.
      const int repeats = repeats_for(all_reduce_value(comm, once(), ReduceOp::max), budget);
      std::vector<double> seconds;
      for (int i = 0; i < repeats; ++i) seconds.push_back(once());
      const double mine = comm.rank() == from ? median_of(seconds) : 0;
      const double both = all_reduce_value(comm, mine, ReduceOp::max);
      if (bytes == 8) speed.latency = both;
      else speed.bandwidth = double(bytes) / both;
    }
    all.push_back(speed);
  }
  return all;
}

}  // namespace tw
