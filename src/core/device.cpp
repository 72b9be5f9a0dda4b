#include "src/core/device.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "src/core/error.h"
#include "src/core/gpu.h"

namespace tw {
namespace {
std::atomic<int64_t> allocations{0};
constexpr size_t kMapThreshold = size_t(1) << 20;  // from here on pages come straight from the kernel
}  // namespace

Memory::Memory(size_t bytes, Device device) : bytes_(bytes), device_(device) {
  if (bytes == 0) return;
  ++allocations;
  if (device.is_cuda()) {
    data_ = gpu::allocate(bytes, device);
    return;
  }
  if (bytes >= kMapThreshold) {
    data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED) data_ = nullptr;
    else madvise(data_, bytes, MADV_HUGEPAGE);  // advice only: failure changes nothing
  } else {
    data_ = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (data_) std::memset(data_, 0, bytes);
  }
  TW_CHECK(data_, config, "not enough memory: {} bytes could not be allocated; use a smaller model, "
           "training.micro_batch_size or training.seq_len", bytes);
}

Memory Memory::pinned(size_t bytes) {
  Memory memory;
  if (bytes == 0) return memory;
  ++allocations;
  memory.data_ = gpu::allocate_pinned(bytes);
  memory.bytes_ = bytes, memory.pinned_ = true;
  return memory;
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)),
      device_(other.device_), pinned_(other.pinned_) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  if (this != &other) {
    free();
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    device_ = other.device_, pinned_ = other.pinned_;
  }
  return *this;
}

Memory::~Memory() { free(); }

void Memory::free() noexcept {
  if (!data_) return;
  if (device_.is_cuda()) gpu::release(data_);
  else if (pinned_) gpu::release_pinned(data_);
  else if (bytes_ >= kMapThreshold) munmap(data_, bytes_);
  else std::free(data_);
}

int64_t allocation_count() noexcept { return allocations; }

}  // namespace tw
