// NCCL between the threads and processes of one machine, over shared memory. A call that its peers do not match, or that
// waits for one that never comes, ends the process with a sentence; a peer whose process is gone is an asynchronous error.
#include "tests/emulation/include/nccl.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "tests/emulation/emulation.h"

namespace tw_emulation {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kMostRanks = 16;
constexpr size_t kChannel = 64 << 10;
constexpr auto kPatience = std::chrono::seconds(60);

// Bytes from one rank to another.
struct Channel {
  std::atomic<uint64_t> written, read;
  unsigned char data[kChannel];
};
struct Segment {
  std::atomic<int> arrived, gone;
  std::atomic<int> ranks;
  std::atomic<int> pids[kMostRanks];
  std::atomic<int> devices[kMostRanks];
  Channel channels[kMostRanks][kMostRanks];
};

// What goes before the bytes of a message, so that both sides can be compared.
struct Header {
  uint64_t bytes;
  int32_t kind, type;
};
enum Kind { kSend, kReduce, kScatter, kGather, kBroadcast };
const char* const kNames[] = {"send and recv", "ncclAllReduce", "ncclReduceScatter", "ncclAllGather", "ncclBroadcast"};

size_t size_of(ncclDataType_t t) { return t == ncclUint8 ? 1 : t == ncclInt64 || t == ncclFloat64 ? 8 : 4; }

}  // namespace

struct Ring {
  std::string name;
  int ranks = 0, rank = 0;
  Segment* segment = nullptr;
  std::atomic<ncclResult_t> error{ncclSuccess};
  std::atomic<bool> aborted{false};
  std::atomic<int> under_way{0};
};

namespace {

// One direction of a call, as far as it has come.
struct Transfer {
  bool outgoing;
  int peer;
  unsigned char* data;
  Header header;
  uint64_t done = 0;  // of the header and the bytes behind it
  Header seen{};
};

struct Call {
  Ring* ring;
  Kind kind;
  std::vector<Transfer> transfers;
  std::function<void()> finish;
  std::shared_ptr<std::vector<unsigned char>> scratch;
  Clock::time_point since;
  bool begun = false;
};

bool move_some(Ring& ring, Transfer& t, Kind kind) {
  Channel& c = t.outgoing ? ring.segment->channels[ring.rank][t.peer] : ring.segment->channels[t.peer][ring.rank];
  bool moved = false;
  while (t.done < sizeof(Header) + t.header.bytes) {
    const uint64_t written = c.written.load(std::memory_order_acquire), read = c.read.load(std::memory_order_acquire);
    const uint64_t room = t.outgoing ? kChannel - (written - read) : written - read;
    if (room == 0) break;
    const uint64_t at = (t.outgoing ? written : read) % kChannel;
    const bool head = t.done < sizeof(Header);
    unsigned char* place = head ? reinterpret_cast<unsigned char*>(t.outgoing ? &t.header : &t.seen) + t.done : t.data + (t.done - sizeof(Header));
    const uint64_t left = head ? sizeof(Header) - t.done : sizeof(Header) + t.header.bytes - t.done;
    const uint64_t n = std::min({room, kChannel - at, left});
    if (t.outgoing) {
      std::memcpy(c.data + at, place, n);
      c.written.store(written + n, std::memory_order_release);
    } else {
      std::memcpy(place, c.data + at, n);
      c.read.store(read + n, std::memory_order_release);
    }
    t.done += n;
    moved = true;
    if (!t.outgoing && t.done == sizeof(Header) && (t.seen.bytes != t.header.bytes || t.seen.kind != t.header.kind))
      die(fmt::format("NCCL: rank {} takes {} bytes by {} from rank {}, which sends {} by {}", ring.rank, t.header.bytes, kNames[kind], t.peer,
                      t.seen.bytes, kNames[t.seen.kind]));
  }
  return moved;
}

bool attempt(const std::shared_ptr<Call>& call) {
  Ring& ring = *call->ring;
  if (!call->begun) call->begun = true, call->since = Clock::now();
  if (ring.aborted || ring.error != ncclSuccess) {
    if (ring.aborted) {
      --ring.under_way;
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // until somebody aborts it
    return false;
  }
  bool moved = false, done = true;
  for (Transfer& t : call->transfers) {
    moved = move_some(ring, t, call->kind) || moved;
    done = done && t.done == sizeof(Header) + t.header.bytes;
  }
  if (done) {
    if (call->finish) call->finish();
    --ring.under_way;
    return true;
  }
  if (moved) {
    call->since = Clock::now();
    return false;
  }
  for (int r = 0; r < ring.ranks; ++r)
    if (const int pid = ring.segment->pids[r]; pid != 0 && ::kill(pid, 0) != 0) ring.error = ncclRemoteError;
  if (Clock::now() - call->since > kPatience) {
    const auto stuck = std::find_if(call->transfers.begin(), call->transfers.end(), [](const Transfer& t) { return t.done < sizeof(Header) + t.header.bytes; });
    die(fmt::format("NCCL: rank {} waits in {} for rank {}, which does not come", ring.rank, kNames[call->kind], stuck->peer));
  }
  return false;
}

struct Queued {
  std::shared_ptr<Call> call;
  cudaStream_t stream;
};
thread_local int group_depth = 0;
thread_local std::vector<Queued> group;

ncclResult_t put(std::shared_ptr<Call> call, cudaStream_t stream) {
  ++call->ring->under_way;
  enqueue(stream, [call] { return attempt(call); });
  return ncclSuccess;
}

ncclResult_t submit(std::shared_ptr<Call> call, cudaStream_t stream) {
  if (!stream) die("NCCL: the default stream, which this program does not use");
  if (call->ring->aborted) return ncclInvalidUsage;
  if (group_depth == 0) return put(std::move(call), stream);
  group.push_back({std::move(call), stream});
  return ncclSuccess;
}

Transfer outgoing(int peer, const void* data, size_t bytes, Kind kind, ncclDataType_t type) {
  return {true, peer, static_cast<unsigned char*>(const_cast<void*>(data)), {bytes, kind, type}};
}
Transfer incoming(int peer, void* data, size_t bytes, Kind kind, ncclDataType_t type) {
  return {false, peer, static_cast<unsigned char*>(data), {bytes, kind, type}};
}

template <class T>
void combine(T* into, const T* from, size_t n, ncclRedOp_t op) {
  for (size_t i = 0; i < n; ++i) into[i] = op == ncclSum ? T(into[i] + from[i]) : op == ncclMax ? std::max(into[i], from[i]) : std::min(into[i], from[i]);
}
void combine(void* into, const void* from, size_t n, ncclDataType_t type, ncclRedOp_t op) {
  switch (type) {
    case ncclFloat32: return combine(static_cast<float*>(into), static_cast<const float*>(from), n, op);
    case ncclFloat64: return combine(static_cast<double*>(into), static_cast<const double*>(from), n, op);
    case ncclInt32: return combine(static_cast<int32_t*>(into), static_cast<const int32_t*>(from), n, op);
    case ncclInt64: return combine(static_cast<int64_t*>(into), static_cast<const int64_t*>(from), n, op);
    case ncclUint8: return combine(static_cast<uint8_t*>(into), static_cast<const uint8_t*>(from), n, op);
  }
}

std::shared_ptr<Call> call_of(ncclComm_t ring, Kind kind) {
  auto call = std::make_shared<Call>();
  call->ring = ring, call->kind = kind;
  return call;
}

}  // namespace
}  // namespace tw_emulation

using namespace tw_emulation;

extern "C" {

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> count{0};
  *id = {};
  const std::string name = fmt::format("/tw-emulated-nccl-{}-{}", ::getpid(), count++);
  std::memcpy(id->internal, name.c_str(), name.size());
  const int fd = ::shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
  if (fd < 0 || ::ftruncate(fd, sizeof(Segment)) != 0) return ncclSystemError;
  ::close(fd);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* out, int ranks, ncclUniqueId id, int rank) {
  if (ranks < 1 || ranks > kMostRanks || rank < 0 || rank >= ranks) return ncclInvalidArgument;
  const int fd = ::shm_open(id.internal, O_RDWR, 0600);
  if (fd < 0) return ncclSystemError;
  void* p = ::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (p == MAP_FAILED) return ncclSystemError;
  auto* segment = static_cast<Segment*>(p);
  segment->pids[rank] = ::getpid();
  ++segment->arrived;
  const auto begin = Clock::now();
  while (segment->arrived < ranks) {
    if (Clock::now() - begin > kPatience) die(fmt::format("NCCL: rank {} of {} waits for the others to start", rank, ranks));
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  if (rank == 0) ::shm_unlink(id.internal);
  *out = new Ring{id.internal, ranks, rank, segment};
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t ring) {
  (void)cudaDeviceSynchronize();
  if (ring->under_way != 0) die("ncclCommDestroy while calls are under way");
  ::munmap(ring->segment, sizeof(Segment));
  delete ring;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t ring) {
  ring->aborted = true;  // what is queued ends; the memory stays, for calls that are still looked at
  return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t ring, ncclResult_t* error) { return *error = ring->error, ncclSuccess; }
const char* ncclGetErrorString(ncclResult_t r) {
  switch (r) {
    case ncclSuccess: return "no error";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInvalidUsage: return "invalid usage";
    case ncclInvalidArgument: return "invalid argument";
    default: return "an error of the emulated NCCL";
  }
}
const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclGroupStart() { return ++group_depth, ncclSuccess; }
ncclResult_t ncclGroupEnd() {
  if (group_depth == 0) die("ncclGroupEnd without ncclGroupStart");
  if (--group_depth > 0) return ncclSuccess;
  // All of a group move at once: no send waits for a receive behind it.
  std::vector<Queued> calls;
  calls.swap(group);
  for (size_t i = 0; i < calls.size(); ++i) {
    if (!calls[i].call) continue;
    for (size_t j = i + 1; j < calls.size(); ++j) {
      if (!calls[j].call || calls[j].stream != calls[i].stream || calls[j].call->ring != calls[i].call->ring) continue;
      if (calls[j].call->finish) continue;
      for (Transfer& t : calls[j].call->transfers) calls[i].call->transfers.push_back(t);
      calls[j].call.reset();
    }
    put(calls[i].call, calls[i].stream);
  }
  return ncclSuccess;
}

ncclResult_t ncclSend(const void* p, size_t n, ncclDataType_t type, int peer, ncclComm_t ring, cudaStream_t stream) {
  if (peer < 0 || peer >= ring->ranks) return ncclInvalidArgument;
  if (n > 0) check_device_memory("ncclSend", p, n * size_of(type), size_of(type));
  auto call = call_of(ring, kSend);
  call->transfers = {outgoing(peer, p, n * size_of(type), kSend, type)};
  return submit(call, stream);
}
ncclResult_t ncclRecv(void* p, size_t n, ncclDataType_t type, int peer, ncclComm_t ring, cudaStream_t stream) {
  if (peer < 0 || peer >= ring->ranks) return ncclInvalidArgument;
  if (n > 0) check_device_memory("ncclRecv", p, n * size_of(type), size_of(type));
  auto call = call_of(ring, kSend);
  call->transfers = {incoming(peer, p, n * size_of(type), kSend, type)};
  return submit(call, stream);
}

ncclResult_t ncclAllGather(const void* in, void* out, size_t n, ncclDataType_t type, ncclComm_t ring, cudaStream_t stream) {
  const size_t bytes = n * size_of(type);
  if (n > 0) check_device_memory("ncclAllGather, in", in, bytes, size_of(type)), check_device_memory("ncclAllGather, out", out, bytes * size_t(ring->ranks), size_of(type));
  auto call = call_of(ring, kGather);
  for (int r = 0; r < ring->ranks; ++r) {
    if (r == ring->rank) continue;
    call->transfers.push_back(outgoing(r, in, bytes, kGather, type));
    call->transfers.push_back(incoming(r, static_cast<char*>(out) + size_t(r) * bytes, bytes, kGather, type));
  }
  call->finish = [=] { std::memmove(static_cast<char*>(out) + size_t(ring->rank) * bytes, in, bytes); };
  return submit(call, stream);
}

ncclResult_t ncclReduceScatter(const void* in, void* out, size_t n, ncclDataType_t type, ncclRedOp_t op, ncclComm_t ring, cudaStream_t stream) {
  const size_t bytes = n * size_of(type), ranks = size_t(ring->ranks), me = size_t(ring->rank);
  if (n > 0) check_device_memory("ncclReduceScatter, in", in, bytes * ranks, size_of(type)), check_device_memory("ncclReduceScatter, out", out, bytes, size_of(type));
  auto call = call_of(ring, kScatter);
  call->scratch = std::make_shared<std::vector<unsigned char>>(bytes * ranks);
  for (size_t r = 0; r < ranks; ++r) {
    if (r == me) continue;
    call->transfers.push_back(outgoing(int(r), static_cast<const char*>(in) + r * bytes, bytes, kScatter, type));
    call->transfers.push_back(incoming(int(r), call->scratch->data() + r * bytes, bytes, kScatter, type));
  }
  call->finish = [=, scratch = call->scratch.get()] {
    std::memcpy(scratch->data() + me * bytes, static_cast<const char*>(in) + me * bytes, bytes);
    std::memcpy(out, scratch->data(), bytes);
    for (size_t r = 1; r < ranks; ++r) combine(out, scratch->data() + r * bytes, n, type, op);
  };
  return submit(call, stream);
}

ncclResult_t ncclAllReduce(const void* in, void* out, size_t n, ncclDataType_t type, ncclRedOp_t op, ncclComm_t ring, cudaStream_t stream) {
  const size_t bytes = n * size_of(type), ranks = size_t(ring->ranks), me = size_t(ring->rank);
  if (n > 0) check_device_memory("ncclAllReduce, in", in, bytes, size_of(type)), check_device_memory("ncclAllReduce, out", out, bytes, size_of(type));
  auto call = call_of(ring, kReduce);
  call->scratch = std::make_shared<std::vector<unsigned char>>(bytes * ranks);
  for (size_t r = 0; r < ranks; ++r) {
    if (r == me) continue;
    call->transfers.push_back(outgoing(int(r), in, bytes, kReduce, type));
    call->transfers.push_back(incoming(int(r), call->scratch->data() + r * bytes, bytes, kReduce, type));
  }
  call->finish = [=, scratch = call->scratch.get()] {
    std::memcpy(scratch->data() + me * bytes, in, bytes);
    std::memcpy(out, scratch->data(), bytes);
    for (size_t r = 1; r < ranks; ++r) combine(out, scratch->data() + r * bytes, n, type, op);
  };
  return submit(call, stream);
}

ncclResult_t ncclBroadcast(const void* in, void* out, size_t n, ncclDataType_t type, int root, ncclComm_t ring, cudaStream_t stream) {
  const size_t bytes = n * size_of(type);
  if (root < 0 || root >= ring->ranks) return ncclInvalidArgument;
  if (n > 0) check_device_memory("ncclBroadcast", out, bytes, size_of(type));
  auto call = call_of(ring, kBroadcast);
  if (ring->rank == root) {
    for (int r = 0; r < ring->ranks; ++r)
      if (r != root) call->transfers.push_back(outgoing(r, in, bytes, kBroadcast, type));
    call->finish = [=] {
      if (in != out) std::memmove(out, in, bytes);
    };
  } else {
    call->transfers = {incoming(root, out, bytes, kBroadcast, type)};
  }
  return submit(call, stream);
}

}  // extern "C"
