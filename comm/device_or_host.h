// What both communicators for GPUs have in common: they pass on what concerns the host.
#pragma once
#include <cstdlib>

#include "comm/arguments.h"
#include "comm/gpu_communicator.h"
#include "src/core/gpu.h"

namespace tw {

class DeviceOrHost : public Communicator {
 public:
  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  int node_rank() const override { return host_.node_rank(); }
  int node_size() const override { return host_.node_size(); }

  void all_reduce(View buffer, ReduceOp op, const Stream& stream) override { start_all_reduce(buffer, op, stream)->wait(); }
  void all_gather(ConstView in, View out, const Stream& stream) override { start_all_gather(in, out, stream)->wait(); }
  void all_to_all(ConstView in, View out, const Stream& stream) override { start_all_to_all(in, out, stream)->wait(); }
  void barrier() override { check(), host_.barrier(); }
  [[noreturn]] void abort(int exit_code) override {
    host_.abort(exit_code);
    std::abort();
  }

 protected:
  // owned: where `host` was made for this one alone.
  DeviceOrHost(Communicator& host, std::unique_ptr<Communicator> owned) : owned_(std::move(owned)), host_(host) {}
  virtual void check() = 0;  // throws what went wrong since the last call

  std::unique_ptr<Communicator> owned_;
  Communicator& host_;
};

}  // namespace tw
