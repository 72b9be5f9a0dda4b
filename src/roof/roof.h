// The roof of a rank: how fast its threads multiply matrices and move bytes when they do nothing else, and from that the
// least time an op can take. Williams, Waterman & Patterson 2009, doi:10.1145/1498765.1498785 ("Roofline").
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "kernels/op_probe.h"
#include "src/machine/spread.h"

namespace tw {

// A matrix product as the training uses it: kernels/matmul.h over the rank's whole team.
struct MatrixRate {
  DType dtype = DType::fp32;
  int64_t m = 0, n = 0, k = 0;  // out (m, n), a (m, k), b^T (n, k)
  std::string path;             // "OpenBLAS", "own", "own, pairs of bf16"
  Spread seconds;
  double flops() const { return 2 * double(m) * double(n) * double(k); }
  double best() const { return flops() / seconds.best; }  // per second
};

// One level of memory. Bytes as McCalpin's STREAM counts them: what the loop names, not what the cache fetches besides.
struct MemoryRate {
  std::string level;       // "L2", "L3", "memory"
  double capacity = 0;     // bytes all threads may use and still be in this level; infinite for memory
  double working_set = 0;  // bytes that were moved over and over
  double read = 0, copy = 0, triad = 0;  // bytes a second, best of the repeats
  double noise = 0;                      // the largest of the three
  double best() const;
};

struct Roof {
  std::vector<MatrixRate> matrix;
  std::vector<MemoryRate> memory;    // fastest first, the last is main memory
  double exchange_rate = 0;          // bytes a second each way of a rank in an all-reduce; 0 = not measured, or one rank
  double exchange_seconds = 0;       // of the smallest all-reduce

  double flops_per_second(DType dtype) const;  // best matrix rate; 0 = not measured
  double bytes_per_second(double bytes) const;  // of the fastest level that holds so many
  // max(flops / matrix rate, bytes / bandwidth): no call takes less. 0 where nothing was measured.
  double floor_seconds(const OpWork& work) const;
};

// Bytes of the caches that `threads` threads use together.
struct CacheSizes {
  double l2 = 0, l3 = 0;
};
// As the kernel describes the first core; 1 MiB a core and 32 MiB where it does not.
CacheSizes cache_sizes(int threads, const std::filesystem::path& root = "/");

// Collective: all ranks measure at the same time, as they compute in a step. Without exchange rates.
// say(what) is called before each part.
Roof measure_roof(Communicator& comm, const Stream& stream, const std::function<void(const std::string&)>& say = {});
// The parts of it. budget: seconds for each shape, or each loop and level.
std::vector<MatrixRate> measure_matrix_rates(Communicator& comm, const Stream& stream, double budget);
std::vector<MatrixRate> measure_gpu_matrix_rates(Communicator& comm, const Stream& stream, double budget);
// A CPU's memory of `bytes`, read by all threads of a team and nothing else.
class MemoryReader {
 public:
  MemoryReader(const Stream& stream, double bytes);
  double rate();  // bytes a second of one pass

 private:
  Stream stream_;
  int64_t part_;  // of a thread
  Tensor memory_;
};
std::vector<MemoryRate> measure_gpu_memory_rates(Communicator& comm, const Stream& stream, double budget);
std::vector<MemoryRate> measure_memory_rates(Communicator& comm, const Stream& stream, const CacheSizes& caches, double budget);

}  // namespace tw
