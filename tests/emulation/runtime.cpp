// The functions of the CUDA runtime, for the emulated devices.
#include <algorithm>
#include <cstring>
#include <memory>

#include "tests/emulation/device.h"

using namespace tw_emulation;

const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    default: return "an error of the emulated device";
  }
}
const char* cudaGetErrorString(cudaError_t code) { return cudaGetErrorName(code); }
cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaDriverGetVersion(int* version) {
  *version = int(from_environment("TW_EMULATED_DRIVER", 13000));
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* n) {
  int driver = 0;
  (void)cudaDriverGetVersion(&driver);
  if (driver < 13000) return cudaErrorInsufficientDriver;
  *n = device_count();
  return *n > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
  *p = {};
  std::strcpy(p->name, "emulated GPU");
  p->uuid.bytes[0] = char(0xe0), p->uuid.bytes[15] = char(device);
  p->totalGlobalMem = device_memory();
  p->major = 9, p->minor = 0, p->multiProcessorCount = 4, p->l2CacheSize = 1 << 20;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  start();
  std::unique_lock lock(world().mutex);
  wait_until(lock, [] { return !anything_queued_on(current_device); });
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* all) {
  start();
  const std::lock_guard lock(world().mutex);
  *all = device_memory(), *free = *all - world().used[size_t(current_device)];
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** p, size_t bytes) { return take(p, bytes, false); }
cudaError_t cudaFree(void* p) { return give(p, false); }
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) { return take(p, bytes, true); }
cudaError_t cudaFreeHost(void* p) { return give(p, true); }

cudaError_t cudaMemset(void* p, int value, size_t bytes) {
  check_device_memory("cudaMemset", p, bytes, 1);
  Stream stream{.device = current_device};  // the default stream: behind everything else
  cudaError_t code = cudaDeviceSynchronize();
  if (code != cudaSuccess) return code;
  std::unique_lock lock(world().mutex);
  world().streams.push_back(&stream);
  push(&stream, [=] {
    std::memset(p, value, bytes);
    return true;
  });
  wait_until(lock, [&] { return stream.queue.empty(); });
  std::erase(world().streams, &stream);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream) {
  check_device_memory("cudaMemsetAsync", p, bytes, 1);
  enqueue(stream, [=] {
    std::memset(p, value, bytes);
    return true;
  });
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  start();
  if (!stream) die("a copy on the default stream, which this program does not use");
  std::unique_lock lock(world().mutex);
  const Place source = place_of(from, bytes), target = place_of(to, bytes);
  if (source == Place::host && target != Place::host) {  // read before the call returns
    auto copy = std::make_shared<std::vector<unsigned char>>(static_cast<const unsigned char*>(from), static_cast<const unsigned char*>(from) + bytes);
    return push(stream, [=] {
      std::memcpy(to, copy->data(), bytes);
      return true;
    });
  }
  push(stream, [=] {
    std::memmove(to, from, bytes);
    return true;
  });
  if (target == Place::host) {
    if (stream->capture) return cudaErrorStreamCaptureUnsupported;
    const uint64_t until = stream->entered;
    wait_until(lock, [&] { return stream->left >= until; });
  }
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned) {
  start();
  const std::lock_guard lock(world().mutex);
  *out = new Stream{.device = current_device};
  world().streams.push_back(*out);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t s) {
  std::unique_lock lock(world().mutex);
  wait_until(lock, [&] { return s->queue.empty(); });
  std::erase(world().streams, s);
  delete s;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  std::unique_lock lock(world().mutex);
  if (s->capture) return cudaErrorStreamCaptureUnsupported;
  const uint64_t until = s->entered;
  wait_until(lock, [&] { return s->left >= until; });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned) {
  *out = new Event;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {  // work that names it may still be queued
  (void)e;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  const std::lock_guard lock(world().mutex);
  if (s->capture) return cudaErrorStreamCaptureUnsupported;
  const uint64_t mark = ++e->recorded;
  return push(s, [=] {
    const std::lock_guard inner(world().mutex);
    e->reached = std::max(e->reached, mark);
    e->at = Clock::now();
    world().done.notify_all();
    return true;
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  const std::lock_guard lock(world().mutex);
  if (s->capture) return cudaErrorStreamCaptureUnsupported;
  const uint64_t mark = e->recorded;
  return push(s, [=] {
    const std::lock_guard inner(world().mutex);
    return e->reached >= mark;
  });
}
cudaError_t cudaEventQuery(cudaEvent_t e) {
  const std::lock_guard lock(world().mutex);
  return e->reached >= e->recorded ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  std::unique_lock lock(world().mutex);
  const uint64_t mark = e->recorded;
  wait_until(lock, [&] { return e->reached >= mark; });
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const std::lock_guard lock(world().mutex);
  if (start->reached < start->recorded || end->reached < end->recorded) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(end->at - start->at).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  const std::lock_guard lock(world().mutex);
  if (s->capture) return cudaErrorStreamCaptureUnsupported;
  s->capture = new Graph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* out) {
  const std::lock_guard lock(world().mutex);
  if (!s->capture) return cudaErrorInvalidValue;
  *out = s->capture;
  s->capture = nullptr;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t graph, unsigned long long) {
  *out = new Graph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  (void)cudaDeviceSynchronize();
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t s) {
  const std::lock_guard lock(world().mutex);
  for (const auto& work : graph->work) push(s, work);
  return cudaSuccess;
}
