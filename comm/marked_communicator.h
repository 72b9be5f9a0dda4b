// A communicator whose calls are seen in src/core/activity.h: the number and name of each collective, and the waiting.
#pragma once
#include "comm/forwarding_communicator.h"

namespace tw {

class MarkedCommunicator final : public ForwardingCommunicator {
 public:
  explicit MarkedCommunicator(std::unique_ptr<Communicator> comm) : ForwardingCommunicator(std::move(comm)) {}

  void all_reduce(View buffer, ReduceOp op, const Stream& stream) override;
  void reduce_scatter(ConstView in, View out, ReduceOp op, const Stream& stream) override;
  void all_gather(ConstView in, View out, const Stream& stream) override;
  void all_to_all(ConstView in, View out, const Stream& stream) override;
  void broadcast(View buffer, int root, const Stream& stream) override;
  // A message between two has no number: the other ranks do not count it.
  void send(ConstView buffer, int to, int tag, const Stream& stream) override;
  void recv(View buffer, int from, int tag, const Stream& stream) override;
  void barrier() override;
  Pending start_all_to_all(ConstView in, View out, const Stream& stream) override;
  Pending start_all_gather(ConstView in, View out, const Stream& stream) override;
  Pending start_all_reduce(View buffer, ReduceOp op, const Stream& stream) override;
  // Of the parts nothing is seen: other ranks have others.
  std::unique_ptr<Communicator> split(int color, int key) override;
};

}  // namespace tw
