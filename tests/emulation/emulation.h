// A GPU made of the host: kernels run thread by thread, streams run late and in an order of their own, memory is fenced.
//
// What is caught: a read or write outside an allocation or of freed memory (guard pages; addresses are never used again),
// host code that touches device memory (it is unreadable while no kernel runs), a barrier that not all threads reach,
// lanes that part before a warp's exchange, shared memory beyond what the launch asked for, launches no device takes.
// Memory that nothing wrote holds NaN: device memory, and shared memory at the start of each block. A missing barrier
// shows as a wrong result, because a warp runs as far as it can before the next one begins, in a shuffled order. A missing
// event shows so too, because nothing in a stream runs before somebody waits for it.
//
// From the environment: TW_EMULATED_GPUS (2; 0 = no device), TW_EMULATED_DRIVER (13000; 0 = none), TW_EMULATED_MEMORY
// (bytes of a device, 8 GiB), TW_EMULATION_SEED (order of warps and streams).
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace tw_emulation {

// Ends the process with a sentence.
[[noreturn]] void die(const std::string& why);

// Work of a stream: tried until it says that it is done. Used by the other stand-ins.
void enqueue(void* stream, std::function<bool()> attempt);
// Dies unless [data, data + bytes) lies within one live allocation, of a device or pinned, and starts at a multiple of `alignment`.
void check_device_memory(const char* who, const void* data, size_t bytes, size_t alignment);
void set_seed(uint64_t seed);
int64_t launches();  // of kernels so far

// In device.cpp and block.cpp.
uint64_t random_below(uint64_t n);
struct Grid {
  unsigned grid[3], block[3];
  size_t shared = 0;
};
void run_grid(const Grid& grid, const std::function<void()>& thread);
std::string running_thread();  // "block (1, 0, 0), thread (5, 0, 0)", or "host code"

}  // namespace tw_emulation
