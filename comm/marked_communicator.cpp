#include "comm/marked_communicator.h"

#include <cstdlib>
#include <utility>

#include "src/core/activity.h"

namespace tw {
namespace {

// test() is no wait: it is called between ops.
class MarkedPending final : public PendingOp {
 public:
  explicit MarkedPending(Pending pending) : pending_(std::move(pending)) {}
  ~MarkedPending() override {
    if (!pending_) return;
    const WaitScope wait;
    pending_.reset();
  }
  bool test() override { return pending_->test(); }
  void wait() override {
    const WaitScope wait;
    pending_->wait();
  }

 private:
  Pending pending_;
};

Pending marked(Pending pending) { return std::make_unique<MarkedPending>(std::move(pending)); }

// A collective that is waited for.
struct Blocking {
  explicit Blocking(const char* name) { mark_collective(name); }
  WaitScope wait;
};

}  // namespace

void MarkedCommunicator::all_reduce(View buffer, ReduceOp op, const Stream& stream) {
  const Blocking call("all_reduce");
  comm_->all_reduce(buffer, op, stream);
}
void MarkedCommunicator::reduce_scatter(ConstView in, View out, ReduceOp op, const Stream& stream) {
  const Blocking call("reduce_scatter");
  comm_->reduce_scatter(in, out, op, stream);
}
void MarkedCommunicator::all_gather(ConstView in, View out, const Stream& stream) {
  const Blocking call("all_gather");
  comm_->all_gather(in, out, stream);
}
void MarkedCommunicator::all_to_all(ConstView in, View out, const Stream& stream) {
  const Blocking call("all_to_all");
  comm_->all_to_all(in, out, stream);
}
void MarkedCommunicator::broadcast(View buffer, int root, const Stream& stream) {
  const Blocking call("broadcast");
  comm_->broadcast(buffer, root, stream);
}
void MarkedCommunicator::send(ConstView buffer, int to, int tag, const Stream& stream) {
  const WaitScope wait;
  comm_->send(buffer, to, tag, stream);
}
void MarkedCommunicator::recv(View buffer, int from, int tag, const Stream& stream) {
  const WaitScope wait;
  comm_->recv(buffer, from, tag, stream);
}
void MarkedCommunicator::barrier() {
  const Blocking call("barrier");
  comm_->barrier();
}
Pending MarkedCommunicator::start_all_to_all(ConstView in, View out, const Stream& stream) {
  mark_collective("all_to_all");
  return marked(comm_->start_all_to_all(in, out, stream));
}
Pending MarkedCommunicator::start_all_gather(ConstView in, View out, const Stream& stream) {
  mark_collective("all_gather");
  return marked(comm_->start_all_gather(in, out, stream));
}
Pending MarkedCommunicator::start_all_reduce(View buffer, ReduceOp op, const Stream& stream) {
  mark_collective("all_reduce");
  return marked(comm_->start_all_reduce(buffer, op, stream));
}
std::unique_ptr<Communicator> MarkedCommunicator::split(int color, int key) {
  const Blocking call("split");
  return comm_->split(color, key);
}

void MarkedCommunicator::abort(int exit_code) {
  comm_->abort(exit_code);
  std::abort();  // the call above does not return, which a virtual call cannot promise
}

}  // namespace tw
