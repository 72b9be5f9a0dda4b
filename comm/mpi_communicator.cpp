#include "comm/mpi_communicator.h"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

#include "comm/accumulate.h"
#include "comm/arguments.h"
#include "src/core/handle.h"
#include "src/core/log.h"

namespace tw {

bool mpi_is_running() noexcept {
  int initialised = 0, finalised = 0;
  MPI_Initialized(&initialised);
  MPI_Finalized(&finalised);
  return initialised && !finalised;
}

void check_mpi(int code, const char* expression, std::source_location where) {
  if (code == MPI_SUCCESS) [[likely]] return;
  char text[MPI_MAX_ERROR_STRING] = "unknown error";
  int length = 0, error_class = MPI_ERR_OTHER;
  MPI_Error_string(code, text, &length);
  MPI_Error_class(code, &error_class);
  ExitCode exit_code = ExitCode::peer_lost;
  switch (error_class) {
    case MPI_ERR_BUFFER: case MPI_ERR_COUNT: case MPI_ERR_TYPE: case MPI_ERR_TAG: case MPI_ERR_COMM:
    case MPI_ERR_RANK: case MPI_ERR_ROOT: case MPI_ERR_OP: case MPI_ERR_ARG: case MPI_ERR_TRUNCATE:
    case MPI_ERR_REQUEST:
      exit_code = ExitCode::bug;
      break;
    default: break;
  }
  throw Error(exit_code, fmt::format("{} failed: {}", expression, text), where);
}

namespace {

struct CommTraits {
  using type = MPI_Comm;
  static type invalid() noexcept { return MPI_COMM_NULL; }
  static void close(type comm) noexcept {
    // Freeing is collective: while an exception unwinds, the peers are somewhere else.
    if (!mpi_is_running() || std::uncaught_exceptions() > 0) return;
    const int code = MPI_Comm_free(&comm);
    if (code != MPI_SUCCESS) log_warning("MPI_Comm_free failed with code {}", code);
  }
};
struct TypeTraits {
  using type = MPI_Datatype;
  static type invalid() noexcept { return MPI_DATATYPE_NULL; }
  static void close(type datatype) noexcept {
    if (!mpi_is_running()) return;
    const int code = MPI_Type_free(&datatype);
    if (code != MPI_SUCCESS) log_warning("MPI_Type_free failed with code {}", code);
  }
};
using CommHandle = Handle<CommTraits>;
using TypeHandle = Handle<TypeTraits>;

MPI_Datatype native(DType dtype) {
  switch (dtype) {
    case DType::fp32: return MPI_FLOAT;
    case DType::fp64: return MPI_DOUBLE;
    case DType::i32: return MPI_INT32_T;
    case DType::i64: return MPI_INT64_T;
    default: return MPI_BYTE;
  }
}

MPI_Op native(ReduceOp op) {
  return op == ReduceOp::sum ? MPI_SUM : op == ReduceOp::max ? MPI_MAX : MPI_MIN;
}

// `bytes` bytes that stand `stride` bytes apart when several of them are counted: how a slice of
// every rank's part is named without copying it.
TypeHandle strided_bytes(size_t bytes, size_t stride) {
  MPI_Datatype plain = MPI_DATATYPE_NULL, strided = MPI_DATATYPE_NULL;
  TW_MPI_CHECK(MPI_Type_contiguous(int(bytes), MPI_BYTE, &plain));
  const TypeHandle owner(plain);
  TW_MPI_CHECK(MPI_Type_create_resized(plain, 0, MPI_Aint(stride), &strided));
  TypeHandle result(strided);
  TW_MPI_CHECK(MPI_Type_commit(&strided));
  return result;
}

// All messages of one call. They are posted by the start, because later messages would not come in
// the same order on every rank.
class MpiPending final : public PendingOp {
 public:
  explicit MpiPending(const char* call) : call_(call), exceptions_at_start_(std::uncaught_exceptions()) {}
  ~MpiPending() override {
    if (requests_.empty()) return;
    if (!mpi_is_running()) {
      log_warning("{} was still under way when MPI ended", call_);
      return;
    }
    try {
      if (std::uncaught_exceptions() > exceptions_at_start_) leave();
      else wait();
    } catch (const std::exception& e) {
      log_warning("{} under way: {}", call_, e.what());
    }
  }

  MPI_Request* add_request() { return &requests_.emplace_back(MPI_REQUEST_NULL); }
  MPI_Datatype keep(TypeHandle type) { return types_.emplace_back(std::move(type)).get(); }

  bool test() override {
    if (requests_.empty()) return true;
    int done = 0;
    std::vector<MPI_Status> statuses(requests_.size());
    check(MPI_Testall(int(requests_.size()), requests_.data(), &done, statuses.data()), statuses);
    if (done) finish();
    return done;
  }
  void wait() override {
    if (requests_.empty()) return;
    std::vector<MPI_Status> statuses(requests_.size());
    check(MPI_Waitall(int(requests_.size()), requests_.data(), statuses.data()), statuses);
    finish();
  }

 private:
  void check(int code, const std::vector<MPI_Status>& statuses) {
    if (code == MPI_SUCCESS) return;
    finish();
    if (code == MPI_ERR_IN_STATUS) {
      for (const MPI_Status& status : statuses)
        if (status.MPI_ERROR != MPI_ERR_PENDING)
          check_mpi(status.MPI_ERROR, call_, std::source_location::current());
    }
    check_mpi(code, call_, std::source_location::current());
  }
  // An error is on its way to main, which aborts the job. The peers may never send their part, so
  // wait for a short time alone; what is then still open ends with the process.
  void leave() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (!test()) {
      if (std::chrono::steady_clock::now() > deadline) {
        for (TypeHandle& type : types_) (void)type.release();
        return;
      }
      sched_yield();
    }
  }
  void finish() noexcept {
    requests_.clear();
    types_.clear();
  }

  const char* call_;
  int exceptions_at_start_;
  std::vector<MPI_Request> requests_;
  std::vector<TypeHandle> types_;
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(CommHandle comm, size_t message_bytes) : comm_(std::move(comm)), message_bytes_(message_bytes) {
    TW_MPI_CHECK(MPI_Comm_set_errhandler(comm_.get(), MPI_ERRORS_RETURN));
    TW_MPI_CHECK(MPI_Comm_rank(comm_.get(), &rank_));
    TW_MPI_CHECK(MPI_Comm_size(comm_.get(), &size_));
    MPI_Comm shared = MPI_COMM_NULL;
    TW_MPI_CHECK(MPI_Comm_split_type(comm_.get(), MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &shared));
    const CommHandle node(shared);
    TW_MPI_CHECK(MPI_Comm_rank(shared, &node_rank_));
    TW_MPI_CHECK(MPI_Comm_size(shared, &node_size_));
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int node_rank() const override { return node_rank_; }
  int node_size() const override { return node_size_; }
  std::string transport() const override { return "mpi"; }

  void all_reduce(View buffer, ReduceOp op, const Stream&) override {
    check_reducible(*this, "all_reduce", buffer);
    check_host(*this, "all_reduce", buffer);
    for_each_message(buffer.bytes(), size_of(buffer.dtype), [&](size_t offset, size_t bytes) {
      TW_MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, at(buffer, offset), int(bytes / size_of(buffer.dtype)),
                                 native(buffer.dtype), native(op), comm_.get()));
    });
  }

  // All-to-all, then a sum in rank order: the same bytes moved, and an order we know.
  void reduce_scatter(ConstView in, View out, ReduceOp op, const Stream&) override {
    check_reducible(*this, "reduce_scatter", in);
    check_parts(*this, "reduce_scatter", out, in);
    check_host(*this, "reduce_scatter", in);
    check_host(*this, "reduce_scatter", out);
    const size_t element = size_of(in.dtype), longest = std::min(out.bytes(), message_bytes_);
    std::vector<std::byte> received(longest * size_t(size_));
    for_each_message(out.bytes(), element, [&](size_t offset, size_t bytes) {
      MpiPending exchange("reduce_scatter");
      post_all_to_all(exchange, at(in, offset), out.bytes(), received.data(), bytes, bytes);
      exchange.wait();
      const int64_t count = int64_t(bytes / element);
      const View sum(at(out, offset), in.dtype, {count});
      std::copy_n(received.data(), bytes, static_cast<std::byte*>(sum.data));
      for (int r = 1; r < size_; ++r)
        accumulate(sum, ConstView(received.data() + size_t(r) * bytes, in.dtype, {count}), op);
    });
  }

  void all_gather(ConstView in, View out, const Stream& stream) override {
    start_all_gather(in, out, stream)->wait();
  }
  void all_to_all(ConstView in, View out, const Stream& stream) override {
    start_all_to_all(in, out, stream)->wait();
  }

  void broadcast(View buffer, int root, const Stream&) override {
    check_root(*this, "broadcast", root);
    check_host(*this, "broadcast", buffer);
    for_each_message(buffer.bytes(), 1, [&](size_t offset, size_t bytes) {
      TW_MPI_CHECK(MPI_Bcast(at(buffer, offset), int(bytes), MPI_BYTE, root, comm_.get()));
    });
  }

  void send(ConstView buffer, int to, int tag, const Stream&) override {
    check_peer(*this, "send", to, tag);
    check_host(*this, "send", buffer);
    // An empty buffer is a message too, so that a receiver who wants more hears of it.
    if (buffer.bytes() == 0) TW_MPI_CHECK(MPI_Send(nullptr, 0, MPI_BYTE, to, tag, comm_.get()));
    for_each_message(buffer.bytes(), 1, [&](size_t offset, size_t bytes) {
      TW_MPI_CHECK(MPI_Send(at(buffer, offset), int(bytes), MPI_BYTE, to, tag, comm_.get()));
    });
  }

  void recv(View buffer, int from, int tag, const Stream&) override {
    check_peer(*this, "recv", from, tag);
    check_host(*this, "recv", buffer);
    const auto take = [&](void* data, size_t bytes) {
      MPI_Status status;
      TW_MPI_CHECK(MPI_Recv(data, int(bytes), MPI_BYTE, from, tag, comm_.get(), &status));
      int got = 0;
      TW_MPI_CHECK(MPI_Get_count(&status, MPI_BYTE, &got));
      TW_CHECK(size_t(got) == bytes, bug, "recv (mpi): rank {} sent {} bytes under tag {}, {} were expected", from,
               got, tag, bytes);
    };
    if (buffer.bytes() == 0) take(nullptr, 0);
    for_each_message(buffer.bytes(), 1, [&](size_t offset, size_t bytes) { take(at(buffer, offset), bytes); });
  }

  void barrier() override { TW_MPI_CHECK(MPI_Barrier(comm_.get())); }

  Pending start_all_to_all(ConstView in, View out, const Stream&) override {
    check_all_to_all(*this, "all_to_all", in, out);
    check_host(*this, "all_to_all", in);
    check_host(*this, "all_to_all", out);
    const size_t part = in.bytes() / size_t(size_);
    auto pending = std::make_unique<MpiPending>("all_to_all");
    for_each_message(part, size_of(in.dtype), [&](size_t offset, size_t bytes) {
      post_all_to_all(*pending, at(in, offset), part, at(out, offset), part, bytes);
    });
    return pending;
  }

  Pending start_all_gather(ConstView in, View out, const Stream&) override {
    const bool in_place = check_all_gather(*this, "all_gather", in, out);
    check_host(*this, "all_gather", in);
    check_host(*this, "all_gather", out);
    const size_t part = in.bytes();
    auto pending = std::make_unique<MpiPending>("all_gather");
    for_each_message(part, size_of(in.dtype), [&](size_t offset, size_t bytes) {
      MPI_Datatype slice = pending->keep(strided_bytes(bytes, part));
      TW_MPI_CHECK(MPI_Iallgather(in_place ? MPI_IN_PLACE : at(in, offset), int(bytes), MPI_BYTE, at(out, offset), 1,
                                  slice, comm_.get(), pending->add_request()));
    });
    return pending;
  }

  Pending start_all_reduce(View buffer, ReduceOp op, const Stream&) override {
    check_reducible(*this, "all_reduce", buffer);
    check_host(*this, "all_reduce", buffer);
    auto pending = std::make_unique<MpiPending>("all_reduce");
    for_each_message(buffer.bytes(), size_of(buffer.dtype), [&](size_t offset, size_t bytes) {
      TW_MPI_CHECK(MPI_Iallreduce(MPI_IN_PLACE, at(buffer, offset), int(bytes / size_of(buffer.dtype)),
                                  native(buffer.dtype), native(op), comm_.get(), pending->add_request()));
    });
    return pending;
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    check_color(*this, color);
    MPI_Comm part = MPI_COMM_NULL;
    TW_MPI_CHECK(MPI_Comm_split(comm_.get(), color, key, &part));
    return std::make_unique<MpiCommunicator>(CommHandle(part), message_bytes_);
  }

  [[noreturn]] void abort(int exit_code) override {
    // Both calls below may wait for what another thread holds, or for a launcher that is gone.
    try {
      std::thread([exit_code] {
        std::this_thread::sleep_for(std::chrono::seconds(3));
        std::_Exit(exit_code);
      }).detach();
    } catch (const std::exception&) {  // no thread can be made
    }
    std::fflush(nullptr);
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code);
  }

 private:
  static void* at(View view, size_t offset) { return static_cast<std::byte*>(view.data) + offset; }
  static const void* at(ConstView view, size_t offset) {
    return static_cast<const std::byte*>(view.data) + offset;
  }

  // body(offset, bytes) for consecutive messages of whole elements that cover `total` bytes.
  template <class Body>
  void for_each_message(size_t total, size_t element, Body body) const {
    const size_t step = message_bytes_ / element * element;
    for (size_t offset = 0; offset < total; offset += step) body(offset, std::min(step, total - offset));
  }

  // `bytes` bytes for rank r from in + r * in_stride, `bytes` bytes of rank r to out + r * out_stride.
  void post_all_to_all(MpiPending& pending, const void* in, size_t in_stride, void* out, size_t out_stride,
                       size_t bytes) {
    MPI_Datatype sent = pending.keep(strided_bytes(bytes, in_stride));
    MPI_Datatype received = pending.keep(strided_bytes(bytes, out_stride));
    TW_MPI_CHECK(MPI_Ialltoall(in, 1, sent, out, 1, received, comm_.get(), pending.add_request()));
  }

  CommHandle comm_;
  size_t message_bytes_;
  int rank_ = 0, size_ = 1, node_rank_ = 0, node_size_ = 1;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(size_t message_bytes) {
  TW_CHECK(message_bytes >= 8 && message_bytes <= size_t(1) << 30, bug,
           "an MPI message takes 8 bytes to 1 GiB, not {}", message_bytes);
  MPI_Comm world = MPI_COMM_NULL;
  TW_MPI_CHECK(MPI_Comm_dup(MPI_COMM_WORLD, &world));
  return std::make_unique<MpiCommunicator>(CommHandle(world), message_bytes);
}

}  // namespace tw
