// Memory and streams of the emulated devices. One thread of the process is the device: it runs what lies in the streams, but
// not before somebody waits for it or some milliseconds have gone by.
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "tests/emulation/device.h"

namespace tw_emulation {

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

World& world() {
  static World* const w = new World;  // the device's thread outlives main
  return *w;
}

int device_count() {
  static const int n = int(from_environment("TW_EMULATED_GPUS", 2));
  return n;
}
size_t device_memory() {
  static const size_t bytes = from_environment("TW_EMULATED_MEMORY", uint64_t(8) << 30);
  return bytes;
}

thread_local int current_device = 0;

namespace {

constexpr size_t kPage = 4096, kRoom = size_t(256) << 30;  // addresses, not memory
constexpr auto kPatience = std::chrono::milliseconds(5);
constexpr unsigned char kSlack = 0xa5;  // behind an allocation, up to the guard page

// The allocation that `p` lies in or just behind, its mutex held.
const Allocation* find(const void* p) {
  World& w = world();
  auto it = w.allocations.upper_bound(uintptr_t(p));
  if (it == w.allocations.begin()) return nullptr;
  return &std::prev(it)->second;
}
uintptr_t address(const Allocation& a) { return uintptr_t(a.pages + a.mapped) - (a.bytes + 255) / 256 * 256; }

bool covers(const Allocation* a, const void* p, size_t bytes) {
  return a && !a->freed && uintptr_t(p) >= address(*a) && uintptr_t(p) + bytes <= address(*a) + a->bytes;
}

// Device memory is not the host's while no work of the device runs. Where the processor has protection keys it never is: only
// the device's thread has the key, and no page table changes at a launch, which costs a millisecond each on a busy virtual machine.
void set_touchable(bool touchable) {
  World& w = world();
  if (w.key >= 0 || w.touchable == touchable) return;
  w.touchable = touchable;
  for (auto& [at, a] : w.allocations)
    if (!a.freed && !a.pinned) mprotect(a.pages, a.mapped, touchable ? PROT_READ | PROT_WRITE : PROT_NONE);
}

// Of an allocation that was the host's until here.
void make_devices_own(const Allocation& a) {
  World& w = world();
  if (w.key >= 0) pkey_mprotect(a.pages, a.mapped, PROT_READ | PROT_WRITE, w.key);
  else if (!w.touchable) mprotect(a.pages, a.mapped, PROT_NONE);
}
void make_hosts_own(const Allocation& a) {
  if (world().key >= 0) pkey_mprotect(a.pages, a.mapped, PROT_READ | PROT_WRITE, 0);
  else mprotect(a.pages, a.mapped, PROT_READ | PROT_WRITE);
}

void check_slack(const Allocation& a) {
  for (uintptr_t p = address(a) + a.bytes; p < uintptr_t(a.pages + a.mapped); ++p)
    if (*reinterpret_cast<unsigned char*>(p) != kSlack)
      die(fmt::format("something was written {} bytes behind the end of {} bytes of device memory", p - address(a) - a.bytes, a.bytes));
}

void on_fault(int, siginfo_t* info, void*) {
  World& w = world();
  const auto* p = static_cast<unsigned char*>(info->si_addr);
  std::string where = "no device memory";
  if (p >= w.room && p < w.room + kRoom) {
    const Allocation* a = find(p);
    if (!a) where = "before all device memory";
    else if (a->freed) where = fmt::format("freed memory, {} bytes", a->bytes);
    else if (covers(a, p, 1)) where = fmt::format("{} memory of {} bytes at {}", a->pinned ? "pinned" : "device", a->bytes, uintptr_t(p) - address(*a));
    else where = fmt::format("{} bytes behind the end of {} bytes", uintptr_t(p) - address(*a) - a->bytes, a->bytes);
  }
  die(fmt::format("{} touches {} ({})", running_thread(), where, info->si_addr));
}

// What one of the streams would do next, tried.
void advance(std::unique_lock<std::mutex>& lock) {
  World& w = world();
  const size_t n = w.streams.size();
  const size_t first = random_below(n);
  for (size_t i = 0; i < n; ++i) {
    Stream* s = w.streams[(first + i) % n];
    if (s->queue.empty()) continue;
    auto work = s->queue.front();
    set_touchable(true);
    lock.unlock();
    const bool finished = work();
    if (!finished) std::this_thread::yield();  // peers of other processes have to come first
    lock.lock();
    if (!finished) return;
    s->queue.pop_front();
    ++s->left;
    w.done.notify_all();
    return;
  }
}

bool anything_queued() {
  return std::any_of(world().streams.begin(), world().streams.end(), [](Stream* s) { return !s->queue.empty(); });
}

void device_thread() {
  World& w = world();
  std::unique_lock lock(w.mutex);
  while (true) {
    if (!anything_queued()) {
      set_touchable(false);
      w.pending = false;
      w.done.notify_all();
      w.work.wait(lock, [] { return anything_queued(); });
    }
    if (w.waiting == 0 && !w.pending) {
      w.pending = true;
      w.oldest = Clock::now();
    }
    if (w.waiting == 0 && Clock::now() < w.oldest + kPatience) {
      w.work.wait_until(lock, w.oldest + kPatience);
      continue;
    }
    advance(lock);
  }
}

}  // namespace

bool anything_queued_on(int device) {
  return std::any_of(world().streams.begin(), world().streams.end(), [=](Stream* s) { return s->device == device && !s->queue.empty(); });
}

void start() {
  static std::once_flag once;
  std::call_once(once, [] {
    World& w = world();
    void* room = mmap(nullptr, kRoom, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) die("no addresses for device memory");
    w.room = w.next = static_cast<unsigned char*>(room);
    w.key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
    w.used.resize(size_t(std::max(1, device_count())));
    w.random = from_environment("TW_EMULATION_SEED", 1) * 0x9E3779B97F4A7C15u + 1;
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    static unsigned char stack[1 << 16];
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
    std::thread([] {
      const stack_t alternate{.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof stack};
      sigaltstack(&alternate, nullptr);  // a fiber's own may be what overflowed
      if (world().key >= 0) pkey_set(world().key, 0);
      device_thread();
    }).detach();
  });
}

void wait_until(std::unique_lock<std::mutex>& lock, const std::function<bool()>& true_now) {
  World& w = world();
  ++w.waiting;
  w.work.notify_all();
  w.done.wait(lock, true_now);
  --w.waiting;
}

cudaError_t take(void** out, size_t bytes, bool pinned) {
  start();
  World& w = world();
  const std::lock_guard lock(w.mutex);
  if (bytes == 0) {
    *out = nullptr;
    return cudaSuccess;
  }
  if (!pinned && w.used[size_t(current_device)] + bytes > device_memory()) return cudaErrorMemoryAllocation;
  Allocation a{.mapped = (bytes + 255) / 256 * 256, .bytes = bytes, .device = current_device, .pinned = pinned};
  a.mapped = (a.mapped + kPage - 1) / kPage * kPage;
  a.pages = w.next + kPage;
  w.next = a.pages + a.mapped + kPage;
  if (w.next > w.room + kRoom) return cudaErrorMemoryAllocation;
  make_hosts_own(a);
  std::memset(a.pages, 0xff, a.mapped);
  const uintptr_t at = address(a);
  std::memset(reinterpret_cast<void*>(at + bytes), kSlack, size_t(uintptr_t(a.pages + a.mapped) - at - bytes));
  if (!pinned) make_devices_own(a);
  if (!pinned) w.used[size_t(current_device)] += bytes;
  w.allocations[at] = a;
  *out = reinterpret_cast<void*>(at);
  return cudaSuccess;
}

cudaError_t give(void* p, bool pinned) {
  if (!p) return cudaSuccess;
  start();
  World& w = world();
  std::unique_lock lock(w.mutex);
  const auto it = w.allocations.find(uintptr_t(p));
  if (it == w.allocations.end() || it->second.freed || it->second.pinned != pinned) return cudaErrorInvalidValue;
  Allocation& a = it->second;
  wait_until(lock, [&] { return !anything_queued_on(a.device); });  // cudaFree waits for the device
  make_hosts_own(a);
  check_slack(a);
  if (!pinned) w.used[size_t(a.device)] -= a.bytes;
  a.freed = true;
  madvise(a.pages, a.mapped, MADV_DONTNEED);
  mprotect(a.pages, a.mapped, PROT_NONE);
  return cudaSuccess;
}

cudaError_t push(Stream* s, std::function<bool()> attempt) {
  World& w = world();
  if (s->capture) {
    s->capture->work.push_back(std::move(attempt));
    return cudaSuccess;
  }
  s->queue.push_back(std::move(attempt));
  ++s->entered;
  w.work.notify_all();
  return cudaSuccess;
}

Place place_of(const void* p, size_t bytes) {
  World& w = world();
  const auto* at = static_cast<const unsigned char*>(p);
  if (at < w.room || at >= w.room + kRoom) return Place::host;
  const Allocation* a = find(p);
  if (!covers(a, p, bytes)) die(fmt::format("a copy of {} bytes goes beyond device memory or to freed memory", bytes));
  return a->pinned ? Place::pinned : Place::device;
}

void die(const std::string& why) {
  const std::string line = "emulated GPU: " + why + "\n";
  (void)!::write(2, line.data(), line.size());
  std::abort();
}

uint64_t random_below(uint64_t n) {
  uint64_t x = world().random;
  x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  world().random = x;
  return (x >> 11) % n;
}
void set_seed(uint64_t seed) { world().random = seed * 0x9E3779B97F4A7C15u + 1; }
int64_t launches() { return world().launches; }

void check_device_memory(const char* who, const void* data, size_t bytes, size_t alignment) {
  start();
  World& w = world();
  const std::lock_guard lock(w.mutex);
  const auto* at = static_cast<const unsigned char*>(data);
  const Allocation* a = at >= w.room && at < w.room + kRoom ? find(data) : nullptr;
  if (!a) die(fmt::format("{}: {} is no memory of a device, nor pinned", who, data));
  if (!covers(a, data, bytes))
    die(fmt::format("{}: {} bytes go beyond an allocation of {} or to freed memory", who, bytes, a->bytes));
  if (uintptr_t(data) % alignment != 0) die(fmt::format("{}: {} is not a multiple of {} bytes", who, data, alignment));
}

void enqueue(void* stream, std::function<bool()> attempt) {
  start();
  if (!stream) die("work for the default stream, which this program does not use");
  const std::lock_guard lock(world().mutex);
  push(static_cast<Stream*>(stream), std::move(attempt));
}

cudaError_t launch(const cudaLaunchConfig_t& c, const void* kernel, std::function<void()> thread) {
  start();
  World& w = world();
  const std::lock_guard lock(w.mutex);
  const uint64_t threads = uint64_t(c.blockDim.x) * c.blockDim.y * c.blockDim.z;
  if (!c.stream) die("a launch on the default stream, which this program does not use");
  if (threads == 0 || threads > 1024 || c.blockDim.z > 64 || c.gridDim.x == 0 || c.gridDim.x > 0x7fffffffu || c.gridDim.y == 0 ||
      c.gridDim.y > 65535 || c.gridDim.z == 0 || c.gridDim.z > 65535)
    return cudaErrorInvalidConfiguration;
  const auto limit = w.shared_limits.find(kernel);
  if (c.dynamicSmemBytes > size_t(limit == w.shared_limits.end() ? 48 << 10 : limit->second)) return cudaErrorInvalidValue;
  ++w.launches;
  const Grid grid{{c.gridDim.x, c.gridDim.y, c.gridDim.z}, {c.blockDim.x, c.blockDim.y, c.blockDim.z}, c.dynamicSmemBytes};
  return push(c.stream, [grid, thread = std::move(thread)] {
    run_grid(grid, thread);
    return true;
  });
}

cudaError_t allow_shared(const void* kernel, int bytes) {
  if (bytes < 0 || bytes > 232448) return cudaErrorInvalidValue;  // 227 KiB, compute capability 9.0
  const std::lock_guard lock(world().mutex);
  world().shared_limits[kernel] = bytes;
  return cudaSuccess;
}

}  // namespace tw_emulation
