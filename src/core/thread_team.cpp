#include "src/core/thread_team.h"

#include <algorithm>

#include "src/core/error.h"

namespace tw {
namespace {
inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}
}  // namespace

ThreadTeam::ThreadTeam(int threads) : shares_(size_t(std::max(threads, 0))) {
  TW_CHECK(threads >= 1, config, "a thread team needs at least 1 thread, not {}", threads);
  scratch_.resize(size_t(threads));
  spins_ = unsigned(threads) <= std::thread::hardware_concurrency() ? 4000 : 0;
  for (int t = 1; t < threads; ++t) workers_.emplace_back([this, t] { loop(t); });
}

ThreadTeam::~ThreadTeam() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    ++epoch_;
  }
  wake_.notify_all();
  for (auto& w : workers_) w.join();
}

void ThreadTeam::dispatch(int64_t items, Call call, void* body) {
  items_ = items;
  call_ = call;
  body_ = body;
  error_ = nullptr;
  next_.store(0, std::memory_order_relaxed);
  running_.store(int(workers_.size()), std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    epoch_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  work(0);
  for (int i = 0; i < spins_ && running_.load(std::memory_order_acquire) != 0; ++i) pause_cpu();
  if (running_.load(std::memory_order_acquire) != 0) {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return running_.load(std::memory_order_acquire) == 0; });
  }
  level_scratch();
  if (error_) std::rethrow_exception(error_);
}

void ThreadTeam::work(int thread) noexcept {
  for (;;) {
    const int64_t item = next_.fetch_add(1, std::memory_order_relaxed);
    if (item >= items_) return;
    try {
      call_(body_, item, thread);
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      next_.store(items_, std::memory_order_relaxed);
    }
  }
}

void ThreadTeam::loop(int thread) {
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < spins_ && epoch_.load(std::memory_order_acquire) == seen; ++i) pause_cpu();
    if (epoch_.load(std::memory_order_acquire) == seen) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return epoch_.load(std::memory_order_acquire) != seen; });
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_) return;
    work(thread);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      std::lock_guard lock(mutex_);
      done_.notify_one();
    }
  }
}

void ThreadTeam::share_out(int64_t blocks) {
  TW_CHECK(blocks <= int64_t(UINT32_MAX), bug, "{} blocks cannot be shared out: at most 2^32 - 1", blocks);
  const uint64_t n = uint64_t(blocks), threads = uint64_t(size());
  for (uint64_t t = 0; t < threads; ++t)
    shares_[t].left.store(n * (t + 1) / threads << 32 | n * t / threads, std::memory_order_relaxed);
}

int64_t ThreadTeam::take_first(int share) noexcept {
  std::atomic<uint64_t>& left = shares_[size_t(share)].left;
  uint64_t now = left.load(std::memory_order_relaxed);
  while (uint32_t(now) < now >> 32)
    if (left.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) return int64_t(uint32_t(now));
  return -1;
}

int64_t ThreadTeam::take_last(int share) noexcept {
  std::atomic<uint64_t>& left = shares_[size_t(share)].left;
  uint64_t now = left.load(std::memory_order_relaxed);
  while (uint32_t(now) < now >> 32)
    if (left.compare_exchange_weak(now, now - (uint64_t(1) << 32), std::memory_order_relaxed)) return int64_t((now >> 32) - 1);
  return -1;
}

void* ThreadTeam::scratch(int thread, size_t bytes) {
  Memory& m = scratch_[size_t(thread)];
  if (m.bytes() < bytes) {
    m = Memory(bytes, Device{});
    size_t wanted = wanted_.load(std::memory_order_relaxed);
    while (wanted < bytes && !wanted_.compare_exchange_weak(wanted, bytes, std::memory_order_relaxed)) {
    }
  }
  return m.data();
}

void ThreadTeam::grow_scratch() {
  level_ = wanted_.load(std::memory_order_relaxed);
  for (Memory& m : scratch_)
    if (m.bytes() < level_) m = Memory(level_, Device{});
}

void* ThreadTeam::workspace(size_t bytes) {
  if (workspace_.bytes() < bytes) workspace_ = Memory(bytes, Device{});
  return workspace_.data();
}

}  // namespace tw
