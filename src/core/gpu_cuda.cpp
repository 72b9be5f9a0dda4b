#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>

#include "src/core/cuda_check.h"
#include "src/core/gpu.h"
#include "src/core/log.h"

namespace tw {

void throw_cuda(cudaError_t code, const char* expression, std::source_location where) {
  ExitCode exit_code = ExitCode::io;
  switch (code) {
    case cudaErrorInvalidValue: case cudaErrorInvalidConfiguration: case cudaErrorInvalidDevicePointer:
    case cudaErrorInvalidMemcpyDirection: case cudaErrorInvalidResourceHandle: case cudaErrorInvalidDeviceFunction:
    case cudaErrorIllegalAddress: case cudaErrorMisalignedAddress: case cudaErrorLaunchOutOfResources:
    case cudaErrorStreamCaptureUnsupported: case cudaErrorStreamCaptureInvalidated:
      exit_code = ExitCode::bug;
      break;
    case cudaErrorMemoryAllocation: case cudaErrorInsufficientDriver: case cudaErrorNoDevice: case cudaErrorInvalidDevice:
    case cudaErrorNoKernelImageForDevice: case cudaErrorDevicesUnavailable:
      exit_code = ExitCode::config;
      break;
    default: break;
  }
  throw Error(exit_code, fmt::format("{} failed: {} ({})", expression, cudaGetErrorString(code), cudaGetErrorName(code)), where);
}

}  // namespace tw

namespace tw::gpu {
namespace {

cudaStream_t native(const Stream& stream) { return static_cast<cudaStream_t>(state_of(stream).handle.get()); }
void use(Device device) { TW_CUDA_CHECK(cudaSetDevice(device.index)); }

void warn(const char* call, cudaError_t code) noexcept {
  // While the process ends, the runtime may be gone before us.
  if (code != cudaSuccess && code != cudaErrorCudartUnloading) log_warning("{} failed: {}", call, cudaGetErrorString(code));
}

std::string why_absent() {
  int n = 0;
  const cudaError_t code = cudaGetDeviceCount(&n);
  (void)cudaGetLastError();  // it is told here
  if (code == cudaSuccess && n > 0) return "";
  if (code == cudaErrorNoDevice || (code == cudaSuccess && n == 0)) return "no CUDA device is visible here (CUDA_VISIBLE_DEVICES?)";
  if (code != cudaErrorInsufficientDriver) return fmt::format("CUDA does not start: {}", cudaGetErrorString(code));
  int driver = 0, runtime = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  const auto version = [](int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); };
  if (driver == 0) return "no NVIDIA driver is installed here";
  return fmt::format("the NVIDIA driver is too old: it knows CUDA {}, this program needs {}", version(driver), version(runtime));
}

}  // namespace

bool built() noexcept { return true; }

const std::string& absence() {
  static const std::string why = why_absent();
  return why;
}

int count() {
  int n = 0;
  if (absence().empty()) TW_CUDA_CHECK(cudaGetDeviceCount(&n));
  return n;
}

Properties properties(int index) {
  cudaDeviceProp p{};
  TW_CUDA_CHECK(cudaGetDeviceProperties(&p, index));
  const auto* b = reinterpret_cast<const unsigned char*>(p.uuid.bytes);
  std::string uuid = "GPU-";
  for (int i = 0; i < 16; ++i) uuid += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
  return {.name = p.name, .uuid = uuid, .capability = 10 * p.major + p.minor, .multiprocessors = p.multiProcessorCount,
          .memory = p.totalGlobalMem, .l2 = size_t(p.l2CacheSize)};
}

void* allocate(size_t bytes, Device device) {
  use(device);
  void* data = nullptr;
  const cudaError_t code = cudaMalloc(&data, bytes);
  if (code == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    size_t free = 0, all = 0;
    (void)cudaMemGetInfo(&free, &all);
    TW_FAIL(config, "not enough memory on GPU {}: {} are wanted, {} of {} are free; use a smaller training.micro_batch_size or "
            "training.seq_len, training.activation_checkpointing = \"full\", or more ranks",
            device.index, human_bytes(double(bytes)), human_bytes(double(free)), human_bytes(double(all)));
  }
  TW_CUDA_CHECK(code);
  TW_CUDA_CHECK(cudaMemset(data, 0, bytes));
  TW_CUDA_CHECK(cudaDeviceSynchronize());
  return data;
}
void release(void* data) noexcept { warn("cudaFree", cudaFree(data)); }

void* allocate_pinned(size_t bytes) {
  void* data = nullptr;
  TW_CUDA_CHECK(cudaHostAlloc(&data, bytes, cudaHostAllocDefault));
  return data;
}
void release_pinned(void* data) noexcept { warn("cudaFreeHost", cudaFreeHost(data)); }

void copy(void* to, const void* from, size_t bytes, const Stream& stream) {
  if (bytes == 0) return;
  use(stream.device());
  TW_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, native(stream)));
}

void synchronize(const Stream& stream) {
  use(stream.device());
  TW_CUDA_CHECK(cudaStreamSynchronize(native(stream)));
}

void StreamTraits::close(type stream) noexcept { warn("cudaStreamDestroy", cudaStreamDestroy(static_cast<cudaStream_t>(stream))); }
void EventTraits::close(type event) noexcept { warn("cudaEventDestroy", cudaEventDestroy(static_cast<cudaEvent_t>(event))); }
void GraphTraits::close(type graph) noexcept { warn("cudaGraphExecDestroy", cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph))); }

Queue::Queue(Device device, ThreadTeam& team) {
  use(device);
  cudaStream_t stream = nullptr;
  TW_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  state_ = std::make_unique<State>(Handle<StreamTraits>(stream));
  stream_ = Stream(device, state_.get(), team);
}

Event::Event(Device device, bool timed) {
  use(device);
  cudaEvent_t event = nullptr;
  TW_CUDA_CHECK(cudaEventCreateWithFlags(&event, timed ? cudaEventDefault : cudaEventDisableTiming));
  handle_ = Handle<EventTraits>(event);
}
void Event::record(const Stream& stream) { TW_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(handle_.get()), native(stream))); }
void Event::hold(const Stream& stream) const {
  TW_CUDA_CHECK(cudaStreamWaitEvent(native(stream), static_cast<cudaEvent_t>(handle_.get()), 0));
}
bool Event::done() const {
  const cudaError_t code = cudaEventQuery(static_cast<cudaEvent_t>(handle_.get()));
  if (code == cudaErrorNotReady) {
    (void)cudaGetLastError();
    return false;
  }
  TW_CUDA_CHECK(code);
  return true;
}
void Event::wait() const { TW_CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(handle_.get()))); }
double Event::seconds_since(const Event& start) const {
  float milliseconds = 0;
  TW_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(start.handle_.get()), static_cast<cudaEvent_t>(handle_.get())));
  return double(milliseconds) * 1e-3;
}

Graph::Graph(const Stream& stream, const std::function<void()>& body) {
  use(stream.device());
  cudaGraph_t graph = nullptr;
  TW_CUDA_CHECK(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeThreadLocal));
  try {
    body();
  } catch (...) {
    (void)cudaStreamEndCapture(native(stream), &graph);
    if (graph) (void)cudaGraphDestroy(graph);
    throw;
  }
  TW_CUDA_CHECK(cudaStreamEndCapture(native(stream), &graph));
  cudaGraphExec_t made = nullptr;
  const cudaError_t code = cudaGraphInstantiate(&made, graph, 0);
  (void)cudaGraphDestroy(graph);
  TW_CUDA_CHECK(code);
  handle_ = Handle<GraphTraits>(made);
}
void Graph::start(const Stream& stream) const {
  TW_CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(handle_.get()), native(stream)));
}

Range::Range(const char* name) noexcept { nvtxRangePushA(name); }
Range::~Range() { nvtxRangePop(); }

}  // namespace tw::gpu
