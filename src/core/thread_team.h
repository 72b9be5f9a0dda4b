// One persistent team of threads a rank. Work is handed out in items fixed by the problem's shape,
// never by the number of threads, so results do not depend on it.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "src/core/device.h"

namespace tw {

class ThreadTeam {
 public:
  // `threads` includes the caller, which works too. Throws Error(config) for less than 1.
  explicit ThreadTeam(int threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;
  int size() const noexcept { return int(workers_.size()) + 1; }

  // Calls body(item, thread) for item in [0, items), each once, in any order, and returns when all
  // are done. thread is in [0, size()). An exception of a body is rethrown here (the first one).
  // Only the thread that made the team may call it; calls do not nest.
  template <class Body>
  void run(int64_t items, Body&& body) {
    if (items <= 0) return;
    if (workers_.empty() || items == 1) {
      for (int64_t i = 0; i < items; ++i) body(i, 0);
      level_scratch();
      return;
    }
    auto call = [](void* b, int64_t item, int thread) {
      (*static_cast<std::remove_reference_t<Body>*>(b))(item, thread);
    };
    dispatch(items, call, &body);
  }

  // Calls body(block, thread) for block in [0, blocks), at most 2^32 - 1, each once: a thread goes through a part of its own
  // from its beginning, then helps at the ends of the others'. For loops bound by memory, which is fetched ahead well only
  // where a thread reads on from where it was. Which thread gets a block is left open: what it computes must not depend on it.
  template <class Body>
  void run_stretches(int64_t blocks, Body&& body) {
    if (blocks <= 0) return;
    if (workers_.empty() || blocks == 1) return run(blocks, body);
    share_out(blocks);
    run(size(), [&](int64_t, int thread) {
      for (int64_t block; (block = take_first(thread)) >= 0;) body(block, thread);
      for (int other = 1; other < size(); ++other)
        for (int64_t block; (block = take_last((thread + other) % size())) >= 0;) body(block, thread);
    });
  }

  // Scratch memory of one thread, at least `bytes`, aligned to 64; kept between calls and grown
  // when asked for more (the contents are lost then). After run() every thread has as much as the
  // one that asked for most, so that no allocation depends on who was given which item.
  void* scratch(int thread, size_t bytes);
  // Scratch memory shared by the team, same rules; call it outside run().
  void* workspace(size_t bytes);

 private:
  using Call = void (*)(void*, int64_t, int);
  void dispatch(int64_t items, Call call, void* body);
  void work(int thread) noexcept;
  void loop(int thread);
  void level_scratch() {
    if (wanted_.load(std::memory_order_relaxed) > level_) grow_scratch();
  }
  void grow_scratch();
  void share_out(int64_t blocks);
  int64_t take_first(int share) noexcept;  // -1 = none is left
  int64_t take_last(int share) noexcept;

  // The blocks [low half, high half) of the word that nobody has taken.
  struct alignas(64) Share {
    std::atomic<uint64_t> left{0};
  };

  std::vector<std::thread> workers_;
  std::vector<Memory> scratch_;
  std::vector<Share> shares_;
  std::atomic<size_t> wanted_{0};  // the most scratch a thread asked for
  size_t level_ = 0;               // what every thread has
  Memory workspace_;
  int spins_;  // polls before a waiting thread sleeps; 0 where threads outnumber cores
  alignas(64) std::atomic<uint64_t> epoch_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
  int64_t items_ = 0;
  Call call_ = nullptr;
  void* body_ = nullptr;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::exception_ptr error_;
};

// Splits [0, count) in blocks of `grain` (fixed by the caller from the shape) over the team:
// body(begin, end, thread).
template <class Body>
void parallel_blocks(const Stream& stream, int64_t count, int64_t grain, Body&& body) {
  const int64_t blocks = (count + grain - 1) / grain;
  stream.team().run(blocks, [&](int64_t b, int thread) {
    body(b * grain, b * grain + grain < count ? b * grain + grain : count, thread);
  });
}

// The same by ThreadTeam::run_stretches.
template <class Body>
void parallel_stretches(const Stream& stream, int64_t count, int64_t grain, Body&& body) {
  const int64_t blocks = (count + grain - 1) / grain;
  stream.team().run_stretches(blocks, [&](int64_t b, int thread) {
    body(b * grain, b * grain + grain < count ? b * grain + grain : count, thread);
  });
}

}  // namespace tw
