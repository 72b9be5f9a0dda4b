// What the rest needs of a GPU's runtime: memory, copies, streams, events, graphs. gpu_cuda.cpp speaks CUDA; a build
// without it links gpu_absent.cpp, where there are no devices and every other call throws Error(config).
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "src/core/device.h"
#include "src/core/handle.h"

namespace tw::gpu {

bool built() noexcept;  // with CUDA

// Why no device can be used, one sentence; "" = they can. The driver is asked once.
const std::string& absence();
int count();  // devices this process sees, 0 with absence()

struct Properties {
  std::string name, uuid;  // uuid as NVML prints it: "GPU-..."
  int capability = 0;      // 10 x major + minor
  int multiprocessors = 0;
  size_t memory = 0, l2 = 0;  // bytes
};
Properties properties(int index);

// Memory that reads as zero. Error(config) with the bytes wanted and free where there is too little.
void* allocate(size_t bytes, Device device);
void release(void* data) noexcept;
// Host memory that the device copies from and to while the host goes on.
void* allocate_pinned(size_t bytes);
void release_pinned(void* data) noexcept;

// Any two places, one of them on stream's device; in the order of the stream. The host may go on before it is done,
// so host memory stays as it is until synchronize().
void copy(void* to, const void* from, size_t bytes, const Stream& stream);
// Returns when all before it is done. Throws what went wrong on the device meanwhile.
void synchronize(const Stream& stream);

struct StreamTraits {
  using type = void*;
  static type invalid() noexcept { return nullptr; }
  static void close(type stream) noexcept;
};
struct EventTraits {
  using type = void*;
  static type invalid() noexcept { return nullptr; }
  static void close(type event) noexcept;
};
struct GraphTraits {
  using type = void*;
  static type invalid() noexcept { return nullptr; }
  static void close(type graph) noexcept;
};

// What ops keep with a stream: scratch memory, handles of libraries.
struct Attachment {
  virtual ~Attachment() = default;
};

// Owner of a stream. Stream::native() of it is its State.
class Queue {
 public:
  struct State {
    Handle<StreamTraits> handle;             // a cudaStream_t
    std::unique_ptr<Attachment> attachment;  // of kernels/cuda/context.h; gone before the stream
  };
  Queue() = default;
  Queue(Device device, ThreadTeam& team);  // team: for what the host does beside it
  const Stream& stream() const noexcept { return stream_; }

 private:
  std::unique_ptr<State> state_;
  Stream stream_{Device{}, nullptr};
};
inline Queue::State& state_of(const Stream& stream) { return *static_cast<Queue::State*>(stream.native()); }

// A point in a stream.
class Event {
 public:
  explicit Event(Device device, bool timed = false);
  void record(const Stream& stream);
  void hold(const Stream& stream) const;  // what follows in `stream` starts behind the recorded point
  bool done() const;                      // true before the first record
  void wait() const;                      // the host waits
  double seconds_since(const Event& start) const;  // both timed and done

 private:
  Handle<EventTraits> handle_;
};

// The ops of one call of `body`, recorded once and started together from then on: the shapes and addresses stay.
class Graph {
 public:
  Graph() = default;
  Graph(const Stream& stream, const std::function<void()>& body);  // body runs ops on `stream` and does not synchronise
  void start(const Stream& stream) const;
  explicit operator bool() const noexcept { return bool(handle_); }

 private:
  Handle<GraphTraits> handle_;
};

// A named stretch in the timeline of a profiler (NVTX), from here to the end of the scope.
class Range {
 public:
  explicit Range(const char* name) noexcept;
  ~Range();
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
};

}  // namespace tw::gpu
