#include "src/roof/watched_communicator.h"

#include <type_traits>
#include <utility>

namespace tw {
namespace {

class WatchedPending final : public PendingOp {
 public:
  WatchedPending(Pending pending, const char* name, OpTimes& times) : pending_(std::move(pending)), name_(name), times_(times) {}
  bool test() override {
    const double start = now_seconds();
    const bool done = pending_->test();
    times_.add_exchange(name_, 0, 0, now_seconds() - start);
    return done;
  }
  void wait() override {
    const double start = now_seconds();
    pending_->wait();
    times_.add_exchange(name_, 0, 0, now_seconds() - start);
  }

 private:
  Pending pending_;
  const char* name_;
  OpTimes& times_;
};

}  // namespace

template <class Call>
auto WatchedCommunicator::timed(const char* name, double bytes, double copied, Call&& call) {
  const double start = now_seconds();
  const auto note = [&] {
    const double seconds = now_seconds() - start, ranks = inner_.size();
    if (inner_.size() == 1) times_.add_copy(name, copied, seconds);
    else times_.add_exchange(name, 1, bytes * (ranks - 1) / ranks, seconds);
  };
  if constexpr (std::is_void_v<decltype(call())>) {
    call();
    note();
  } else {
    Pending pending = call();
    note();
    if (inner_.size() == 1) return pending;  // it has happened
    return Pending(std::make_unique<WatchedPending>(std::move(pending), name, times_));
  }
}

void WatchedCommunicator::all_reduce(View buffer, ReduceOp op, const Stream& stream) {
  timed("all_reduce", 2 * double(buffer.bytes()), 0, [&] { inner_.all_reduce(buffer, op, stream); });
}
void WatchedCommunicator::reduce_scatter(ConstView in, View out, ReduceOp op, const Stream& stream) {
  timed("reduce_scatter", double(in.bytes()), 2 * double(in.bytes()), [&] { inner_.reduce_scatter(in, out, op, stream); });
}
void WatchedCommunicator::all_gather(ConstView in, View out, const Stream& stream) {
  timed("all_gather", double(out.bytes()), in.data == out.data ? 0 : 2 * double(in.bytes()),
        [&] { inner_.all_gather(in, out, stream); });
}
void WatchedCommunicator::all_to_all(ConstView in, View out, const Stream& stream) {
  timed("all_to_all", double(in.bytes()), 2 * double(in.bytes()), [&] { inner_.all_to_all(in, out, stream); });
}
void WatchedCommunicator::broadcast(View buffer, int root, const Stream& stream) {
  timed("broadcast", double(buffer.bytes()), 0, [&] { inner_.broadcast(buffer, root, stream); });
}
void WatchedCommunicator::send(ConstView buffer, int to, int tag, const Stream& stream) {
  timed("send", double(buffer.bytes()), 0, [&] { inner_.send(buffer, to, tag, stream); });
}
void WatchedCommunicator::recv(View buffer, int from, int tag, const Stream& stream) {
  timed("recv", double(buffer.bytes()), 0, [&] { inner_.recv(buffer, from, tag, stream); });
}
void WatchedCommunicator::barrier() {
  timed("barrier", 0, 0, [&] { inner_.barrier(); });
}
Pending WatchedCommunicator::start_all_to_all(ConstView in, View out, const Stream& stream) {
  return timed("all_to_all", double(in.bytes()), 2 * double(in.bytes()), [&] { return inner_.start_all_to_all(in, out, stream); });
}
Pending WatchedCommunicator::start_all_gather(ConstView in, View out, const Stream& stream) {
  return timed("all_gather", double(out.bytes()), in.data == out.data ? 0 : 2 * double(in.bytes()),
               [&] { return inner_.start_all_gather(in, out, stream); });
}
Pending WatchedCommunicator::start_all_reduce(View buffer, ReduceOp op, const Stream& stream) {
  return timed("all_reduce", 2 * double(buffer.bytes()), 0, [&] { return inner_.start_all_reduce(buffer, op, stream); });
}

}  // namespace tw
