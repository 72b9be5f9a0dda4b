#include <nccl.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

#include "comm/device_or_host.h"
#include "src/core/cuda_check.h"
#include "src/core/dynamic_library.h"
#include "src/core/log.h"

namespace tw {
namespace {

struct Nccl {
  Nccl() : library(TW_NCCL_LIBRARY) {
    library.load("ncclGetUniqueId", unique_id);
    library.load("ncclCommInitRank", init_rank);
    library.load("ncclCommDestroy", destroy);
    library.load("ncclCommAbort", abort);
    library.load("ncclCommGetAsyncError", async_error);
    library.load("ncclGetErrorString", error_string);
    library.load("ncclGetLastError", last_error);
    library.load("ncclGroupStart", group_start);
    library.load("ncclGroupEnd", group_end);
    library.load("ncclSend", send);
    library.load("ncclRecv", recv);
    library.load("ncclAllReduce", all_reduce);
    library.load("ncclReduceScatter", reduce_scatter);
    library.load("ncclAllGather", all_gather);
    library.load("ncclBroadcast", broadcast);
  }
  DynamicLibrary library;
  decltype(&ncclGetUniqueId) unique_id = nullptr;
  decltype(&ncclCommInitRank) init_rank = nullptr;
  decltype(&ncclCommDestroy) destroy = nullptr;
  decltype(&ncclCommAbort) abort = nullptr;
  decltype(&ncclCommGetAsyncError) async_error = nullptr;
  decltype(&ncclGetErrorString) error_string = nullptr;
  decltype(&ncclGetLastError) last_error = nullptr;
  decltype(&ncclGroupStart) group_start = nullptr;
  decltype(&ncclGroupEnd) group_end = nullptr;
  decltype(&ncclSend) send = nullptr;
  decltype(&ncclRecv) recv = nullptr;
  decltype(&ncclAllReduce) all_reduce = nullptr;
  decltype(&ncclReduceScatter) reduce_scatter = nullptr;
  decltype(&ncclAllGather) all_gather = nullptr;
  decltype(&ncclBroadcast) broadcast = nullptr;
};
const Nccl& nccl() {
  static const Nccl library;
  return library;
}

void check_nccl(ncclResult_t result, const char* expression, std::source_location where = std::source_location::current()) {
  if (result == ncclSuccess) [[likely]] return;
  ExitCode code = ExitCode::peer_lost;
  if (result == ncclInvalidArgument || result == ncclInternalError) code = ExitCode::bug;
  if (result == ncclInvalidUsage) code = ExitCode::config;  // two ranks on one GPU, say
  if (result == ncclUnhandledCudaError) code = ExitCode::io;
  const char* detail = nccl().last_error(nullptr);
  throw Error(code, fmt::format("{} failed: {}{}{}", expression, nccl().error_string(result), detail && *detail ? ": " : "", detail ? detail : ""), where);
}
#define TW_NCCL_CHECK(call) check_nccl((call), #call)

ncclDataType_t native(DType dtype) {
  switch (dtype) {
    case DType::fp32: return ncclFloat32;
    case DType::fp64: return ncclFloat64;
    case DType::i32: return ncclInt32;
    case DType::i64: return ncclInt64;
    default: return ncclUint8;
  }
}
size_t units(const ConstView& v) {
  return native(v.dtype) == ncclUint8 ? v.bytes() : size_t(v.count());
}
ncclRedOp_t native(ReduceOp op) { return op == ReduceOp::sum ? ncclSum : op == ReduceOp::max ? ncclMax : ncclMin; }

// NCCL fails after its calls have returned: who asks for it often enough need not wait for ever.
class Watch {
 public:
  explicit Watch(ncclComm_t comm) : comm_(comm), thread_([this] { run(); }) {}
  ~Watch() {
    stop_ = true;
    thread_.join();
  }
  // Of the first failure; ncclSuccess while there is none.
  ncclResult_t failure() const noexcept { return failure_; }

 private:
  void run() {
    while (!stop_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ncclResult_t now = ncclSuccess;
      if (nccl().async_error(comm_, &now) != ncclSuccess || now == ncclSuccess || now == ncclInProgress) continue;
      failure_ = now;
      // Ends what is under way on the device, so that a host that waits for it comes back and finds the failure.
      (void)nccl().abort(comm_);
      return;
    }
  }
  ncclComm_t comm_;
  std::atomic<ncclResult_t> failure_{ncclSuccess};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class NcclCommunicator final : public DeviceOrHost {
 public:
  NcclCommunicator(Communicator& host, std::unique_ptr<Communicator> owned, const Stream& stream)
      : DeviceOrHost(host, std::move(owned)), stream_(stream), queue_(stream.device(), stream.team()) {
    ncclUniqueId id{};
    if (host.rank() == 0) TW_NCCL_CHECK(nccl().unique_id(&id));
    host.broadcast({&id, DType::u8, {int64_t(sizeof id)}}, 0, stream.host());
    TW_CUDA_CHECK(cudaSetDevice(stream.device().index));
    TW_NCCL_CHECK(nccl().init_rank(&comm_, host.size(), id, host.rank()));
    watch_.emplace(comm_);
  }
  ~NcclCommunicator() override {
    const bool failed = watch_->failure() != ncclSuccess;
    watch_.reset();
    if (failed) return;  // aborted, which frees it
    // Destroying waits for the peers; while an exception unwinds they may never come.
    const ncclResult_t result = std::uncaught_exceptions() > 0 ? nccl().abort(comm_) : nccl().destroy(comm_);
    if (result != ncclSuccess) log_warning("ending NCCL failed: {}", nccl().error_string(result));
  }
  std::string transport() const override { return "nccl"; }

  void reduce_scatter(ConstView in, View out, ReduceOp op, const Stream& stream) override {
    check_reducible(*this, "reduce_scatter", in);
    check_parts(*this, "reduce_scatter", out, in);
    check();
    if (in.device.is_cpu()) return inner_.reduce_scatter(in, out, op, stream);
    run(stream, [&](cudaStream_t s) {
      TW_NCCL_CHECK(nccl().reduce_scatter(in.data, out.data, size_t(out.count()), native(in.dtype), native(op), comm_, s));
    })->wait();
  }
  void broadcast(View data, int root, const Stream& stream) override {
    check_root(*this, "broadcast", root);
    check();
    if (data.device.is_cpu()) return inner_.broadcast(data, root, stream);
    run(stream, [&](cudaStream_t s) { TW_NCCL_CHECK(nccl().broadcast(data.data, data.data, data.bytes(), ncclUint8, root, comm_, s)); })->wait();
  }
  void send(ConstView data, int to, int tag, const Stream& stream) override {
    check_peer(*this, "send", to, tag);
    check();
    if (data.device.is_cpu()) return inner_.send(data, to, tag, stream);
    run(stream, [&](cudaStream_t s) { TW_NCCL_CHECK(nccl().send(data.data, data.bytes(), ncclUint8, to, comm_, s)); })->wait();
  }
  void recv(View data, int from, int tag, const Stream& stream) override {
    check_peer(*this, "recv", from, tag);
    check();
    if (data.device.is_cpu()) return inner_.recv(data, from, tag, stream);
    run(stream, [&](cudaStream_t s) { TW_NCCL_CHECK(nccl().recv(data.data, data.bytes(), ncclUint8, from, comm_, s)); })->wait();
  }

  // Every rank to every other, itself too, in one group: NCCL's way to say all-to-all (user's guide, "Point-to-point
  // communication").
  Pending start_all_to_all(ConstView in, View out, const Stream& stream) override {
    check_all_to_all(*this, "all_to_all", in, out);
    check();
    if (in.device.is_cpu()) return inner_.start_all_to_all(in, out, stream);
    const size_t part = in.bytes() / size_t(size());
    return run(stream, [&](cudaStream_t s) {
      TW_NCCL_CHECK(nccl().group_start());
      for (int r = 0; r < size(); ++r) {
        TW_NCCL_CHECK(nccl().send(static_cast<const char*>(in.data) + size_t(r) * part, part, ncclUint8, r, comm_, s));
        TW_NCCL_CHECK(nccl().recv(static_cast<char*>(out.data) + size_t(r) * part, part, ncclUint8, r, comm_, s));
      }
      TW_NCCL_CHECK(nccl().group_end());
    });
  }
  Pending start_all_gather(ConstView in, View out, const Stream& stream) override {
    check_all_gather(*this, "all_gather", in, out);
    check();
    if (in.device.is_cpu()) return inner_.start_all_gather(in, out, stream);
    return run(stream, [&](cudaStream_t s) { TW_NCCL_CHECK(nccl().all_gather(in.data, out.data, in.bytes(), ncclUint8, comm_, s)); });
  }
  Pending start_all_reduce(View data, ReduceOp op, const Stream& stream) override {
    check_reducible(*this, "all_reduce", data);
    check();
    if (data.device.is_cpu()) return inner_.start_all_reduce(data, op, stream);
    return run(stream, [&](cudaStream_t s) {
      TW_NCCL_CHECK(nccl().all_reduce(data.data, data.data, units(data), native(data.dtype), native(op), comm_, s));
    });
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    check_color(*this, color);
    check();
    std::unique_ptr<Communicator> part = inner_.split(color, key);
    Communicator& host = *part;
    return std::make_unique<NcclCommunicator>(host, std::move(part), stream_);
  }

 private:
  // Under way on NCCL's stream. wait() holds back the stream that asked, not the host.
  class NcclPending final : public PendingOp {
   public:
    NcclPending(NcclCommunicator& comm, const Stream& stream) : comm_(comm), stream_(stream), finished_(stream.device()) {
      finished_.record(comm.queue_.stream());
    }
    ~NcclPending() override {
      if (held_ || std::uncaught_exceptions() > 0) return;
      try {
        finished_.hold(stream_);
      } catch (const std::exception& e) {
        log_warning("NCCL under way: {}", e.what());
      }
    }
    bool test() override {
      comm_.check();
      return finished_.done();
    }
    void wait() override {
      comm_.check();
      if (!held_) finished_.hold(stream_);
      held_ = true;
    }

   private:
    NcclCommunicator& comm_;
    Stream stream_;
    gpu::Event finished_;
    bool held_ = false;
  };

  void check() override {
    const ncclResult_t failure = watch_->failure();
    TW_CHECK(failure == ncclSuccess, peer_lost, "NCCL reports: {}; another rank is gone or its network failed, the exchange was aborted",
             nccl().error_string(failure));
  }

  // body(s) puts calls of NCCL in its stream, behind what is in `stream` now.
  template <class Body>
  Pending run(const Stream& stream, Body&& body) {
    TW_CUDA_CHECK(cudaSetDevice(stream.device().index));
    gpu::Event ready(stream.device());
    ready.record(stream);
    ready.hold(queue_.stream());
    body(static_cast<cudaStream_t>(gpu::state_of(queue_.stream()).handle.get()));
    return std::make_unique<NcclPending>(*this, stream);
  }

  Stream stream_;
  gpu::Queue queue_;
  ncclComm_t comm_ = nullptr;
  std::optional<Watch> watch_;
};

}  // namespace

std::string nccl_absence() {
  if (!gpu::absence().empty()) return gpu::absence();
  try {
    (void)nccl();
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}

std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, const Stream& stream) {
  const std::string why = nccl_absence();
  TW_CHECK(why.empty(), config, "NCCL cannot be used: {}", why);
  return std::make_unique<NcclCommunicator>(host, nullptr, stream);
}

}  // namespace tw
