// What both communicators for GPUs have in common: they pass on what concerns the host.
#pragma once
#include "comm/arguments.h"
#include "comm/forwarding_communicator.h"
#include "comm/gpu_communicator.h"
#include "src/core/gpu.h"

namespace tw {

// The inner one is over host memory.
class DeviceOrHost : public ForwardingCommunicator {
 public:
  void all_reduce(View buffer, ReduceOp op, const Stream& stream) override { start_all_reduce(buffer, op, stream)->wait(); }
  void all_gather(ConstView in, View out, const Stream& stream) override { start_all_gather(in, out, stream)->wait(); }
  void all_to_all(ConstView in, View out, const Stream& stream) override { start_all_to_all(in, out, stream)->wait(); }
  void barrier() override { check(), inner_.barrier(); }

 protected:
  // owned: where `host` was made for this one alone.
  DeviceOrHost(Communicator& host, std::unique_ptr<Communicator> owned) : ForwardingCommunicator(host, std::move(owned)) {}
  virtual void check() = 0;  // throws what went wrong since the last call
};

}  // namespace tw
