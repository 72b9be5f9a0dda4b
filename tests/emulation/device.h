// The emulated devices as the runtime's functions see them.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "tests/emulation/emulation.h"
#include "tests/emulation/include/cuda_runtime.h"

namespace tw_emulation {

using Clock = std::chrono::steady_clock;

struct Graph {
  std::vector<std::function<bool()>> work;
};

struct Stream {
  int device = 0;
  std::deque<std::function<bool()>> queue;
  uint64_t entered = 0, left = 0;
  Graph* capture = nullptr;
};

struct Event {
  uint64_t recorded = 0, reached = 0;
  Clock::time_point at;
};

struct Allocation {
  unsigned char* pages = nullptr;
  size_t mapped = 0, bytes = 0;
  int device = 0;
  bool pinned = false, freed = false;
};

struct World {
  std::mutex mutex;
  std::condition_variable work, done;
  std::map<uintptr_t, Allocation> allocations;  // by the address of their first byte; freed ones too
  std::map<const void*, int> shared_limits;
  std::vector<Stream*> streams;
  unsigned char *room = nullptr, *next = nullptr;
  uint64_t waiting = 0;
  int64_t launches = 0;
  int key = -1;            // protection key of device memory; negative = the processor has none
  bool touchable = false;
  Clock::time_point oldest;
  bool pending = false;
  std::atomic<uint64_t> random{0x9E3779B97F4A7C15u};
  std::vector<size_t> used;
};

World& world();
uint64_t from_environment(const char* name, uint64_t otherwise);
int device_count();
size_t device_memory();  // bytes of each
extern thread_local int current_device;

void start();  // of the thread that is the device; once
// These three want world().mutex held.
bool anything_queued_on(int device);
void wait_until(std::unique_lock<std::mutex>& lock, const std::function<bool()>& true_now);
cudaError_t push(Stream* s, std::function<bool()> attempt);

cudaError_t take(void** out, size_t bytes, bool pinned);
cudaError_t give(void* p, bool pinned);
// A place of a copy; dies where it lies half outside. The mutex held.
enum class Place { host, pinned, device };
Place place_of(const void* p, size_t bytes);

}  // namespace tw_emulation
