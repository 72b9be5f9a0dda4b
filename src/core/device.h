// Where memory lives and where an op runs.
#pragma once
#include <cstddef>
#include <cstdint>

namespace tw {

enum class DeviceKind : uint8_t { cpu, cuda };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;  // CUDA device ordinal within the process; 0 on the CPU
  bool is_cpu() const noexcept { return kind == DeviceKind::cpu; }
  bool is_cuda() const noexcept { return kind == DeviceKind::cuda; }
  bool operator==(const Device&) const = default;
};

// Owner of one zero-initialised block, aligned to 64 bytes (4 KiB and huge pages where it is large).
class Memory {
 public:
  Memory() noexcept = default;
  // Throws Error(config) naming the bytes wanted if the device has not enough.
  Memory(size_t bytes, Device device);
  // Of the host, where a GPU copies from and to while the host goes on; what it holds is not set. The CPU's device.
  static Memory pinned(size_t bytes);
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  ~Memory();
  void* data() const noexcept { return data_; }
  size_t bytes() const noexcept { return bytes_; }
  Device device() const noexcept { return device_; }

 private:
  void free() noexcept;
  void* data_ = nullptr;
  size_t bytes_ = 0;
  Device device_;
  bool pinned_ = false;
};

// Blocks allocated by Memory in this process so far. Tests use it to show that training
// allocates nothing after its first step.
int64_t allocation_count() noexcept;

class ThreadTeam;
class OpProbe;  // kernels/op_probe.h

// The order in which ops run on a device. On the CPU it is a team of threads and an op has
// finished when its call returns; on CUDA it is a cudaStream_t.
class Stream {
 public:
  explicit Stream(ThreadTeam& team) noexcept : team_(&team) {}
  Stream(Device device, void* native) noexcept : device_(device), native_(native) {}
  Stream(Device device, void* native, ThreadTeam& team) noexcept : device_(device), team_(&team), native_(native) {}
  Device device() const noexcept { return device_; }
  ThreadTeam& team() const noexcept { return *team_; }
  // For what the host does beside a device: the CPU, with the same team.
  Stream host() const noexcept { return Stream(*team_); }
  void* native() const noexcept { return native_; }
  // Who is told of each op that runs here; nullptr = nobody, as at first.
  OpProbe* probe() const noexcept { return probe_; }
  Stream watched_by(OpProbe* probe) const noexcept {
    Stream watched = *this;
    watched.probe_ = probe;
    return watched;
  }

 private:
  Device device_;
  ThreadTeam* team_ = nullptr;
  void* native_ = nullptr;
  OpProbe* probe_ = nullptr;
};

}  // namespace tw
