// The contract over both communicators for memory of GPUs: what the cases hold in host memory is copied to the device, goes
// through the communicator there, and is copied back. On emulated GPUs.
#include <gtest/gtest.h>

#include <cstdlib>

#include "comm/gpu_communicator.h"
#include "comm/self.h"
#include "src/core/gpu.h"
#include "src/core/thread_team.h"
#include "tests/comm/communicator_contract.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {

class OverDevice final : public Communicator {
 public:
  OverDevice(std::unique_ptr<Communicator> gpu, const Stream& stream) : gpu_(std::move(gpu)), stream_(stream) {}
  int rank() const override { return gpu_->rank(); }
  int size() const override { return gpu_->size(); }
  int node_rank() const override { return gpu_->node_rank(); }
  int node_size() const override { return gpu_->node_size(); }
  std::string transport() const override { return gpu_->transport(); }

  void all_reduce(View buffer, ReduceOp op, const Stream&) override { start_all_reduce(buffer, op, stream_)->wait(); }
  void all_gather(ConstView in, View out, const Stream&) override { start_all_gather(in, out, stream_)->wait(); }
  void all_to_all(ConstView in, View out, const Stream&) override { start_all_to_all(in, out, stream_)->wait(); }
  void reduce_scatter(ConstView in, View out, ReduceOp op, const Stream&) override {
    const Mirror a = to_device(in), b = place_of(out, in, a);
    gpu_->reduce_scatter(a.view, b.view, op, stream_);
    back(b.view, out);
  }
  void broadcast(View buffer, int root, const Stream&) override {
    const Mirror a = to_device(buffer);
    gpu_->broadcast(a.view, root, stream_);
    back(a.view, buffer);
  }
  void send(ConstView buffer, int to, int tag, const Stream&) override { gpu_->send(to_device(buffer).view, to, tag, stream_), synchronize(stream_); }
  void recv(View buffer, int from, int tag, const Stream&) override {
    const Mirror a = to_device(buffer);
    gpu_->recv(a.view, from, tag, stream_);
    back(a.view, buffer);
  }
  void barrier() override { gpu_->barrier(); }

  Pending start_all_to_all(ConstView in, View out, const Stream&) override {
    Mirror a = to_device(in), b = place_of(out, in, a);
    Pending pending = gpu_->start_all_to_all(a.view, b.view, stream_);
    return std::make_unique<OnItsWay>(*this, std::move(pending), std::move(a), std::move(b), out);
  }
  Pending start_all_gather(ConstView in, View out, const Stream&) override {
    Mirror b = to_device(out), a = place_of(in, out, b);
    Pending pending = gpu_->start_all_gather(a.view, b.view, stream_);
    return std::make_unique<OnItsWay>(*this, std::move(pending), std::move(a), std::move(b), out);
  }
  Pending start_all_reduce(View buffer, ReduceOp op, const Stream&) override {
    Mirror a = to_device(buffer);
    Pending pending = gpu_->start_all_reduce(a.view, op, stream_);
    return std::make_unique<OnItsWay>(*this, std::move(pending), Mirror{}, std::move(a), buffer);
  }
  std::unique_ptr<Communicator> split(int color, int key) override { return std::make_unique<OverDevice>(gpu_->split(color, key), stream_); }
  [[noreturn]] void abort(int exit_code) override {
    gpu_->abort(exit_code);
    std::abort();
  }

 private:
  struct Mirror {
    Tensor memory;
    View view;
  };
  struct OnItsWay final : PendingOp {
    OnItsWay(OverDevice& comm, Pending pending, Mirror in, Mirror out, View to)
        : comm(comm), pending(std::move(pending)), in(std::move(in)), out(std::move(out)), to(to) {}
    ~OnItsWay() override {
      if (pending && std::uncaught_exceptions() == 0) wait();
    }
    bool test() override { return !pending || pending->test(); }
    void wait() override {
      if (!pending) return;
      pending->wait();
      pending.reset();
      comm.back(out.view, to);
    }
    OverDevice& comm;
    Pending pending;
    Mirror in, out;
    View to;
  };

  // An empty view stays one: there is no memory of no bytes.
  Mirror to_device(ConstView host) {
    Mirror m{Tensor(host.shape, host.dtype, stream_.device()), {}};
    m.view = {m.memory.view().data, host.dtype, host.shape, stream_.device()};
    copy(host, m.view, stream_);
    return m;
  }
  // Where `part` lies in the mirror of `whole`, if it lies in `whole`: all-gather in place, and memory wrongly shared.
  Mirror place_of(ConstView part, ConstView whole, const Mirror& mirror) {
    const auto at = static_cast<const char*>(part.data) - static_cast<const char*>(whole.data);
    if (part.bytes() == 0 || at < 0 || size_t(at) >= whole.bytes()) return to_device(part);
    return {Tensor(), {static_cast<char*>(mirror.view.data) + at, part.dtype, part.shape, stream_.device()}};
  }
  void back(View device, View host) {
    copy(device, host, stream_);
    synchronize(stream_);
  }

  std::unique_ptr<Communicator> gpu_;
  Stream stream_;
};

// One for each rank: freeing memory waits for a device, and its peers may be what it waits for.
const bool kEnoughGpus = ::setenv("TW_EMULATED_GPUS", "3", 1) == 0;

struct Case {
  ContractCase contract;
  int ranks;
  bool nccl;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.contract.name << " on " << c.ranks; }

class GpuCommunicatorContract : public testing::TestWithParam<Case> {};

TEST_P(GpuCommunicatorContract, Holds) {
  const Case& c = GetParam();
  run_ranks(c.ranks, [&](Communicator& host) {
    ASSERT_TRUE(kEnoughGpus);
    ThreadTeam team(1);
    const gpu::Queue queue(Device{DeviceKind::cuda, host.rank()}, team);
    const Stream& stream = queue.stream();
    OverDevice comm(c.nccl ? make_nccl_communicator(host, stream) : make_staged_communicator(host, stream), stream);
    ASSERT_EQ(comm.size(), c.ranks);
    c.contract.run(comm);
  });
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const ContractCase& contract : communicator_contract())
    for (const int ranks : {1, 2, 3})
      for (const bool nccl : {true, false}) all.push_back({contract, ranks, nccl});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Emulated, GpuCommunicatorContract, testing::ValuesIn(cases()), [](const auto& info) {
  return info.param.contract.name + (info.param.nccl ? "_nccl" : "_staged") + std::to_string(info.param.ranks);
});

}  // namespace
}  // namespace tw
