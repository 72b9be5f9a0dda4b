// A communicator whose calls are timed beside the ops: the exchange of gradients and weights is part of a step.
#pragma once
#include "comm/forwarding_communicator.h"
#include "src/roof/op_times.h"

namespace tw {

class WatchedCommunicator final : public ForwardingCommunicator {
 public:
  // Both must outlive this.
  WatchedCommunicator(Communicator& comm, OpTimes& times) : ForwardingCommunicator(comm), times_(times) {}

  void all_reduce(View buffer, ReduceOp op, const Stream& stream) override;
  void reduce_scatter(ConstView in, View out, ReduceOp op, const Stream& stream) override;
  void all_gather(ConstView in, View out, const Stream& stream) override;
  void all_to_all(ConstView in, View out, const Stream& stream) override;
  void broadcast(View buffer, int root, const Stream& stream) override;
  void send(ConstView buffer, int to, int tag, const Stream& stream) override;
  void recv(View buffer, int from, int tag, const Stream& stream) override;
  void barrier() override;
  // The time until it is waited for is the ops' that run meanwhile; what start, test and wait take is the exchange's.
  Pending start_all_to_all(ConstView in, View out, const Stream& stream) override;
  Pending start_all_gather(ConstView in, View out, const Stream& stream) override;
  Pending start_all_reduce(View buffer, ReduceOp op, const Stream& stream) override;
  // Of the parts nothing is told.
  std::unique_ptr<Communicator> split(int color, int key) override { return inner_.split(color, key); }

 private:
  // bytes: of all ranks' parts together; copied: what a rank alone moves within its memory.
  template <class Call>
  auto timed(const char* name, double bytes, double copied, Call&& call);

  OpTimes& times_;
};

}  // namespace tw
