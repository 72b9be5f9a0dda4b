// One block after another; its threads are fibers of the thread that calls run_grid.
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <numeric>
#include <vector>

#include "tests/emulation/emulation.h"
#include "tests/emulation/include/cuda_runtime.h"

uint3 threadIdx{}, blockIdx{};
dim3 blockDim, gridDim;

namespace tw_emulation {
namespace {

namespace context = boost::context::detail;

constexpr size_t kStack = 64 << 10, kPage = 4096, kMostThreads = 1024, kMostShared = 232448;
constexpr unsigned kWarp = 32;

enum class State : uint8_t { ready, in_warp, in_block, finished };

struct Lane {
  context::fcontext_t resume = nullptr;
  uint3 index{};
  State state = State::finished;
};

struct Warp {
  unsigned waiting = 0;
  uint64_t exchanges = 0;
  alignas(64) unsigned char slots[2][kWarp][64];  // by the parity of the exchange
};

struct Machine {
  std::vector<Lane> lanes = std::vector<Lane>(kMostThreads);
  std::vector<Warp> warps = std::vector<Warp>(kMostThreads / kWarp);
  unsigned char* stacks = nullptr;
  unsigned char* shared_end = nullptr;  // a page that cannot be touched begins here
  unsigned char* shared = nullptr;
  context::fcontext_t scheduler = nullptr;
  unsigned current = 0, threads = 0, in_block = 0, finished = 0;
  bool running = false;
  const std::function<void()>* thread = nullptr;

  Machine() {
    const auto map = [](size_t bytes) {
      void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (p == MAP_FAILED) die("no memory for the stacks of a block");
      return static_cast<unsigned char*>(p);
    };
    stacks = map(kMostThreads * (kStack + kPage));
    for (size_t i = 0; i < kMostThreads; ++i) mprotect(stacks + i * (kStack + kPage), kPage, PROT_NONE);
    const size_t room = (kMostShared + kPage - 1) / kPage * kPage;
    unsigned char* p = map(room + kPage);
    shared_end = p + room;
    mprotect(shared_end, kPage, PROT_NONE);
  }
};

Machine& machine() {
  static Machine* const m = new Machine;  // lives as long as the process: fibers may be under way when it ends
  return *m;
}

void leave(State state) {
  Machine& m = machine();
  m.lanes[m.current].state = state;
  m.scheduler = context::jump_fcontext(m.scheduler, nullptr).fctx;
}

void enter(context::transfer_t from) {
  Machine& m = machine();
  m.scheduler = from.fctx;
  (*m.thread)();
  leave(State::finished);
}

void resume(unsigned i) {
  Machine& m = machine();
  m.current = i;
  threadIdx = m.lanes[i].index;
  m.lanes[i].state = State::ready;
  m.lanes[i].resume = context::jump_fcontext(m.lanes[i].resume, nullptr).fctx;
  Warp& w = m.warps[i / kWarp];
  switch (m.lanes[i].state) {
    case State::finished: ++m.finished; break;
    case State::in_warp: ++w.waiting; break;
    case State::in_block: ++m.in_block; break;
    case State::ready: die("a thread came back without a reason");
  }
}

// As far as the warp can go without the others.
void run_warp(unsigned index) {
  Machine& m = machine();
  Warp& w = m.warps[index];
  const unsigned begin = index * kWarp, end = std::min(begin + kWarp, m.threads);
  for (bool moved = true; moved;) {
    moved = false;
    for (unsigned i = begin; i < end; ++i)
      if (m.lanes[i].state == State::ready) resume(i), moved = true;
    if (w.waiting == 0) continue;
    if (w.waiting != end - begin)
      die(fmt::format("block ({}, {}, {}), warp {}: {} of its {} lanes wait for an exchange, the others do not come: {} are at a "
                      "barrier or finished", blockIdx.x, blockIdx.y, blockIdx.z, index, w.waiting, end - begin, end - begin - w.waiting));
    w.waiting = 0, ++w.exchanges;
    for (unsigned i = begin; i < end; ++i)
      if (m.lanes[i].state == State::in_warp) m.lanes[i].state = State::ready;
    moved = true;
  }
}

void run_block(size_t shared_bytes) {
  Machine& m = machine();
  m.shared = m.shared_end - (shared_bytes + 15) / 16 * 16;
  std::memset(m.shared, 0xff, size_t(m.shared_end - m.shared));
  m.in_block = m.finished = 0;
  const unsigned warps = (m.threads + kWarp - 1) / kWarp;
  for (unsigned w = 0; w < warps; ++w) m.warps[w].waiting = 0;
  for (unsigned i = 0; i < m.threads; ++i) {
    Lane& lane = m.lanes[i];
    lane.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    lane.state = State::ready;
    lane.resume = context::make_fcontext(m.stacks + (i + 1) * (kStack + kPage), kStack, enter);
  }
  std::vector<unsigned> order(warps);
  std::iota(order.begin(), order.end(), 0u);
  while (m.finished < m.threads) {
    for (unsigned i = warps; i > 1; --i) std::swap(order[i - 1], order[random_below(i)]);
    for (const unsigned w : order) run_warp(w);
    if (m.in_block + m.finished == m.threads) {
      m.in_block = 0;
      for (unsigned i = 0; i < m.threads; ++i)
        if (m.lanes[i].state == State::in_block) m.lanes[i].state = State::ready;
    }
  }
}

}  // namespace

void run_grid(const Grid& grid, const std::function<void()>& thread) {
  Machine& m = machine();
  gridDim = {grid.grid[0], grid.grid[1], grid.grid[2]};
  blockDim = {grid.block[0], grid.block[1], grid.block[2]};
  m.threads = blockDim.x * blockDim.y * blockDim.z;
  m.thread = &thread;
  m.running = true;
  // Blocks in no order that a kernel could lean on.
  const uint64_t blocks = uint64_t(gridDim.x) * gridDim.y * gridDim.z;
  const uint64_t first = random_below(blocks);
  const bool backwards = random_below(2) != 0;
  for (uint64_t b = 0; b < blocks; ++b) {
    const uint64_t at = (first + (backwards ? blocks - b : b)) % blocks;
    blockIdx = {unsigned(at % gridDim.x), unsigned(at / gridDim.x % gridDim.y), unsigned(at / gridDim.x / gridDim.y)};
    run_block(grid.shared);
  }
  m.running = false;
}

void* dynamic_shared() { return machine().shared; }

void block_barrier() { leave(State::in_block); }

const unsigned char* warp_exchange(const void* mine, size_t bytes) {
  Machine& m = machine();
  const unsigned i = m.current;
  Warp& w = m.warps[i / kWarp];
  auto& slots = w.slots[w.exchanges % 2];
  std::memcpy(slots[i % kWarp], mine, bytes);
  leave(State::in_warp);
  return &slots[0][0];
}

std::string running_thread() {
  if (!machine().running) return "host code";
  return fmt::format("block ({}, {}, {}), thread ({}, {}, {})", blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
                     threadIdx.z);
}

}  // namespace tw_emulation
