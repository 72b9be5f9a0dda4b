// How fast ranks talk: for `doctor` and `bench`.
#pragma once
#include <vector>

#include "comm/communicator.h"

namespace tw {

// An all-reduce of fp32 numbers over all ranks.
struct AllReduceSpeed {
  double bytes = 0;
  double seconds = 0;  // median of the slowest rank's
  int repeats = 0;
  // Bytes each rank sends, and receives, a second: 2 (R - 1) / R of the buffer where no byte is sent twice.
  double wire_rate(int ranks) const { return 2 * bytes * (ranks - 1) / ranks / seconds; }
};
// Collective; nothing for one rank. Buffers of 8 bytes (latency), then 1, 4 and, where `large`, 64 MiB.
std::vector<AllReduceSpeed> measure_all_reduce(Communicator& comm, const Stream& stream, bool large, double budget);

// A message there and back between two ranks, halved.
struct PairSpeed {
  int from = 0, to = 0;
  double latency = 0;     // seconds, 8 bytes, median
  double bandwidth = 0;   // bytes a second, 4 MiB, median
};
// Collective: the pairs one after the other, while the others wait. Every rank gets all.
std::vector<PairSpeed> measure_pairs(Communicator& comm, const Stream& stream, const std::vector<std::pair<int, int>>& pairs,
                                     double budget);

}  // namespace tw
