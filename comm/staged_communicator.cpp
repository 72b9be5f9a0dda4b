#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "comm/device_or_host.h"

namespace tw {
namespace {

// One exchange under way: on its way to the host, between the hosts, or on its way back.
struct Exchange {
  int in = -1, out = -1;                              // buffers; equal where the exchange is in place
  std::optional<gpu::Event> arrived, returned;        // on the host; back on the device
  std::function<Pending()> start;                     // of the host's communicator
  Pending moving;
  std::function<void()> copy_back;
  bool finished = false;
};

class StagedCommunicator final : public DeviceOrHost {
 public:
  StagedCommunicator(Communicator& host, std::unique_ptr<Communicator> owned, const Stream& stream)
      : DeviceOrHost(host, std::move(owned)), stream_(stream), queue_(stream.device(), stream.team()) {}
  std::string transport() const override { return inner_.transport() + " through host memory"; }

  void reduce_scatter(ConstView in, View out, ReduceOp op, const Stream& stream) override {
    check_reducible(*this, "reduce_scatter", in);
    check_parts(*this, "reduce_scatter", out, in);
    if (in.device.is_cpu()) return inner_.reduce_scatter(in, out, op, stream);
    const int a = buffer(in.bytes()), b = buffer(out.bytes());
    to_host(in, a, stream);
    inner_.reduce_scatter(view(a, in), view(b, out), op, stream);
    to_device(b, out, stream);
    give(a), give(b);
  }
  void broadcast(View data, int root, const Stream& stream) override {
    check_root(*this, "broadcast", root);
    if (data.device.is_cpu()) return inner_.broadcast(data, root, stream);
    const int a = buffer(data.bytes());
    if (rank() == root) to_host(data, a, stream);
    inner_.broadcast(view(a, data), root, stream);
    if (rank() != root) to_device(a, data, stream);
    give(a);
  }
  void send(ConstView data, int to, int tag, const Stream& stream) override {
    check_peer(*this, "send", to, tag);
    if (data.device.is_cpu()) return inner_.send(data, to, tag, stream);
    const int a = buffer(data.bytes());
    to_host(data, a, stream);
    inner_.send(view(a, data), to, tag, stream);
    give(a);
  }
  void recv(View data, int from, int tag, const Stream& stream) override {
    check_peer(*this, "recv", from, tag);
    if (data.device.is_cpu()) return inner_.recv(data, from, tag, stream);
    const int a = buffer(data.bytes());
    inner_.recv(view(a, data), from, tag, stream);
    to_device(a, data, stream);
    give(a);
  }

  Pending start_all_to_all(ConstView in, View out, const Stream& stream) override {
    check_all_to_all(*this, "all_to_all", in, out);
    if (in.device.is_cpu()) return inner_.start_all_to_all(in, out, stream);
    return begin(in, out, false, [this](ConstView a, View b) { return inner_.start_all_to_all(a, b, stream_); }, stream);
  }
  Pending start_all_gather(ConstView in, View out, const Stream& stream) override {
    check_all_gather(*this, "all_gather", in, out);
    if (in.device.is_cpu()) return inner_.start_all_gather(in, out, stream);
    return begin(in, out, false, [this](ConstView a, View b) { return inner_.start_all_gather(a, b, stream_); }, stream);
  }
  Pending start_all_reduce(View data, ReduceOp op, const Stream& stream) override {
    check_reducible(*this, "all_reduce", data);
    if (data.device.is_cpu()) return inner_.start_all_reduce(data, op, stream);
    return begin(data, data, true, [this, op](ConstView, View b) { return inner_.start_all_reduce(b, op, stream_); }, stream);
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    check_color(*this, color);
    std::unique_ptr<Communicator> part = inner_.split(color, key);
    Communicator& host = *part;
    return std::make_unique<StagedCommunicator>(host, std::move(part), stream_);
  }

 private:
  class StagedPending final : public PendingOp {
   public:
    StagedPending(StagedCommunicator& comm, std::shared_ptr<Exchange> exchange, const Stream& stream)
        : comm_(comm), exchange_(std::move(exchange)), stream_(stream) {}
    ~StagedPending() override {
      if (!exchange_ || std::uncaught_exceptions() > 0) return;
      try {
        wait();
      } catch (const std::exception&) {  // the next call of the communicator says it
      }
    }
    bool test() override {
      if (!exchange_) return true;
      comm_.advance();
      return exchange_->finished;
    }
    void wait() override {
      if (!exchange_) return;
      comm_.complete(*exchange_);
      exchange_->returned->hold(stream_);
      exchange_.reset();
    }

   private:
    StagedCommunicator& comm_;
    std::shared_ptr<Exchange> exchange_;
    Stream stream_;
  };

  struct Buffer {
    Tensor memory;
    std::optional<gpu::Event> left;  // what is in it is copied away
    bool taken = false;
  };

  void check() override {}

  int buffer(size_t bytes) {
    const int64_t n = int64_t(bytes);
    for (size_t i = 0; i < buffers_.size(); ++i)
      if (!buffers_[i].taken && buffers_[i].memory.count() >= n && buffers_[i].left->done()) {
        buffers_[i].taken = true;
        return int(i);
      }
    buffers_.push_back({Tensor::beside(stream_, {std::max<int64_t>(n, 1)}, DType::u8), gpu::Event(stream_.device()), true});
    return int(buffers_.size()) - 1;
  }
  // Free from where the copy stream is now.
  void give(int i) {
    buffers_[size_t(i)].left->record(queue_.stream());
    buffers_[size_t(i)].taken = false;
  }
  View view(int i, const ConstView& like) { return {buffers_[size_t(i)].memory.view().data, like.dtype, like.shape}; }

  void to_host(ConstView from, int i, const Stream& stream) {
    behind(stream, queue_.stream());
    copy(from, view(i, from), queue_.stream());
    synchronize(queue_.stream());
  }
  void to_device(int i, View to, const Stream& stream) {
    behind(stream, queue_.stream());
    copy(view(i, to), to, queue_.stream());
    behind(queue_.stream(), stream);
  }
  // What follows in `later` starts when all that is in `first` now is done.
  void behind(const Stream& first, const Stream& later) {
    gpu::Event event(first.device());
    event.record(first);
    event.hold(later);
  }

  template <class Start>
  Pending begin(ConstView in, View out, bool in_place, Start start, const Stream& stream) {
    auto e = std::make_shared<Exchange>();
    e->in = buffer(in.bytes());
    e->out = in_place ? e->in : buffer(out.bytes());
    behind(stream, queue_.stream());
    copy(in, view(e->in, in), queue_.stream());
    e->arrived.emplace(stream.device());
    e->arrived->record(queue_.stream());
    e->returned.emplace(stream.device());
    const View a = view(e->in, in), b = view(e->out, out);
    e->start = [start, a, b] { return start(a, b); };
    e->copy_back = [this, e = e.get(), b, out] {
      copy(b, out, queue_.stream());
      e->returned->record(queue_.stream());
      give(e->in);
      if (e->out != e->in) give(e->out);
      e->finished = true;
    };
    waiting_.push_back(e);
    return std::make_unique<StagedPending>(*this, e, stream);
  }

  void start(Exchange& e) {
    e.moving = e.start();
    under_way_.push_back(waiting_.front());
    waiting_.pop_front();
  }
  void land(Exchange& e) {
    e.moving->wait();
    e.moving.reset();
    e.copy_back();
    std::erase_if(under_way_, [&](const auto& other) { return other.get() == &e; });
  }
  void advance() {
    while (!waiting_.empty() && waiting_.front()->arrived->done()) start(*waiting_.front());
    for (size_t i = 0; i < under_way_.size();) {
      const std::shared_ptr<Exchange> e = under_way_[i];
      if (e->moving->test()) land(*e);
      else ++i;
    }
  }
  void complete(Exchange& e) {
    // The hosts start their exchanges in one order on all ranks: those before it come first.
    while (!e.finished && !e.moving) {
      waiting_.front()->arrived->wait();
      start(*waiting_.front());
    }
    if (!e.finished) land(e);
  }

  Stream stream_;
  gpu::Queue queue_;
  std::vector<Buffer> buffers_;
  std::deque<std::shared_ptr<Exchange>> waiting_;      // not begun by the hosts yet
  std::vector<std::shared_ptr<Exchange>> under_way_;
};

}  // namespace

std::unique_ptr<Communicator> make_staged_communicator(Communicator& host, const Stream& stream) {
  return std::make_unique<StagedCommunicator>(host, nullptr, stream);
}

}  // namespace tw
