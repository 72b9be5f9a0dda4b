#include "comm/marked_communicator.h"

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
  inner_.all_reduce(buffer, op, stream);
}
void MarkedCommunicator::reduce_scatter(ConstView in, View out, ReduceOp op, const Stream& stream) {
  const Blocking call("reduce_scatter");
  inner_.reduce_scatter(in, out, op, stream);
}
void MarkedCommunicator::all_gather(ConstView in, View out, const Stream& stream) {
  const Blocking call("all_gather");
  inner_.all_gather(in, out, stream);
}
void MarkedCommunicator::all_to_all(ConstView in, View out, const Stream& stream) {
  const Blocking call("all_to_all");
  inner_.all_to_all(in, out, stream);
}
void MarkedCommunicator::broadcast(View buffer, int root, const Stream& stream) {
  const Blocking call("broadcast");
  inner_.broadcast(buffer, root, stream);
}
void MarkedCommunicator::send(ConstView buffer, int to, int tag, const Stream& stream) {
  const WaitScope wait;
  inner_.send(buffer, to, tag, stream);
}
void MarkedCommunicator::recv(View buffer, int from, int tag, const Stream& stream) {
  const WaitScope wait;
  inner_.recv(buffer, from, tag, stream);
}
void MarkedCommunicator::barrier() {
  const Blocking call("barrier");
  inner_.barrier();
}
Pending MarkedCommunicator::start_all_to_all(ConstView in, View out, const Stream& stream) {
  mark_collective("all_to_all");
  return marked(inner_.start_all_to_all(in, out, stream));
}
Pending MarkedCommunicator::start_all_gather(ConstView in, View out, const Stream& stream) {
  mark_collective("all_gather");
  return marked(inner_.start_all_gather(in, out, stream));
}
Pending MarkedCommunicator::start_all_reduce(View buffer, ReduceOp op, const Stream& stream) {
  mark_collective("all_reduce");
  return marked(inner_.start_all_reduce(buffer, op, stream));
}
std::unique_ptr<Communicator> MarkedCommunicator::split(int color, int key) {
  const Blocking call("split");
  return inner_.split(color, key);
}

}  // namespace tw
