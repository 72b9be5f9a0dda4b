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

  std::vector<std::thread> workers_;
  std::vector<Memory> scratch_;
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

}  // namespace tw
