#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "src/core/thread_team.h"
#include "src/roof/roof.h"

namespace tw {
namespace {

// Loops the compiler may not merge: each pass depends on a value it cannot know.
uint64_t read_all(const uint64_t* x, int64_t n) {
  uint64_t sums[8] = {};  // one alone would wait for its last addition, and not for the memory
  for (int64_t i = 0; i + 8 <= n; i += 8)
    for (int64_t j = 0; j < 8; ++j) sums[j] += x[i + j];
  uint64_t sum = 0;
  for (const uint64_t s : sums) sum += s;
  return sum;
}
void triad(float* __restrict a, const float* __restrict b, const float* __restrict c, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) a[i] = b[i] + factor * c[i];
}

enum class Loop { read, copy, triad };
constexpr int arrays_of(Loop loop) { return loop == Loop::read ? 1 : loop == Loop::copy ? 2 : 3; }

// Each thread goes over a part of its own, so that private caches count; `passes` times, so that handing the parts out
// takes no time beside it.
class Bench {
 public:
  Bench(const Stream& stream, double bytes) : stream_(stream), threads_(stream.team().size()) {
    floats_ = std::max<int64_t>(64, int64_t(bytes / double(threads_) / sizeof(float)) / 64 * 64);
    memory_ = Tensor({threads_ * floats_}, DType::fp32);
    for_parts([&](float* x) { std::fill_n(x, floats_, 1.0f); });  // each page near the thread that uses it
  }
  double working_set() const { return double(threads_ * floats_) * sizeof(float); }

  // Best bytes a second.
  double rate(Loop loop, double budget, double& noise) {
    constexpr int kRepeats = 9;
    constexpr double kLeast = 4e-3;  // seconds of one timing
    // The arrays of a loop share the part: the working set is the same for all loops.
    const int64_t n = floats_ / arrays_of(loop) / 16 * 16;
    const auto run = [&](int64_t passes) {
      for_parts([&](float* x) {
        for (int64_t p = 0; p < passes; ++p) {
          if (loop == Loop::read) sink_ += read_all(reinterpret_cast<const uint64_t*>(x), n / 2);
          if (loop == Loop::copy) std::memcpy(x + n, x, size_t(n) * sizeof(float));
          if (loop == Loop::triad) triad(x, x + n, x + 2 * n, 0.5f, n);
          std::atomic_signal_fence(std::memory_order_seq_cst);
        }
      });
    };
    int64_t passes = 1;
    for (;; passes *= 4) {
      const double start = now_seconds();
      run(passes);
      if (now_seconds() - start > kLeast / 2 || passes > (1 << 24)) break;
    }
    const Spread s = time_repeated(kRepeats, budget, [&] { run(passes); });
    noise = std::max(noise, s.noise());
    return double(n * arrays_of(loop) * threads_ * passes) * sizeof(float) / s.best;
  }

 private:
  template <class Body>
  void for_parts(Body&& body) {
    stream_.team().run(threads_, [&](int64_t item, int) { body(memory_.as<float>() + item * floats_); });
  }
  const Stream& stream_;
  int64_t threads_, floats_ = 0;
  Tensor memory_;
  std::atomic<uint64_t> sink_{0};
};

}  // namespace

MemoryReader::MemoryReader(const Stream& stream, double bytes)
    : stream_(stream), part_(std::max<int64_t>(64, int64_t(bytes / double(stream.team().size()) / sizeof(uint64_t)) / 64 * 64)),
      memory_({stream.team().size() * part_}, DType::i64) {
  stream_.team().run(stream_.team().size(), [&](int64_t item, int) { std::fill_n(memory_.as<int64_t>() + item * part_, part_, int64_t(1)); });
}

double MemoryReader::rate() {
  std::atomic<uint64_t> sink{0};
  const double start = now_seconds();
  stream_.team().run(stream_.team().size(), [&](int64_t item, int) {
    sink += read_all(reinterpret_cast<const uint64_t*>(memory_.as<int64_t>() + item * part_), part_);
  });
  return double(memory_.view().bytes()) / (now_seconds() - start);
}

std::vector<MemoryRate> measure_memory_rates(Communicator& comm, const Stream& stream, const CacheSizes& caches, double budget) {
  constexpr double kLeast = double(size_t(256) << 20), kLargest = double(size_t(2) << 30);
  const double l2 = caches.l2, l3 = std::max(caches.l3, l2);
  // Half of a level, so that the rest of the process and its neighbours do not push it out; memory: far beyond all.
  std::vector<MemoryRate> rates = {{.level = "L2", .capacity = l2, .working_set = l2 / 2},
                                   {.level = "L3", .capacity = l3, .working_set = std::min(l3, std::max(2 * l2, l3 / 2))},
                                   {.level = "memory",
                                    .capacity = std::numeric_limits<double>::infinity(),
                                    .working_set = std::clamp(8 * l3, kLeast, kLargest)}};
  for (MemoryRate& r : rates) {
    comm.barrier();
    Bench bench(stream, r.working_set);
    r.working_set = bench.working_set();
    r.read = bench.rate(Loop::read, budget, r.noise);
    r.copy = bench.rate(Loop::copy, budget, r.noise);
    r.triad = bench.rate(Loop::triad, budget, r.noise);
  }
  return rates;
}

}  // namespace tw
