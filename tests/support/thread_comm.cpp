#include "tests/support/thread_comm.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "comm/accumulate.h"
#include "comm/arguments.h"
#include "src/core/log.h"

namespace tw {
namespace {

using Lock = std::unique_lock<std::mutex>;

// What all threads share. One mutex for everything: a last rank moves the data while it holds it.
struct World {
  std::mutex mutex;
  std::condition_variable changed;
  std::chrono::milliseconds limit;
  std::vector<bool> finished;  // by world rank: its body has ended
  // The first failure. From then on every call that cannot finish throws it.
  std::optional<Error> failure;
  int failed_rank = -1;

  void fail(int rank, ExitCode code, const std::string& text) {
    if (failure) return;
    failure.emplace(code, text);
    failed_rank = rank;
    changed.notify_all();
  }
};

enum class Kind { all_reduce, reduce_scatter, all_gather, all_to_all, broadcast, barrier, split };
constexpr const char* kKindNames[] = {"all_reduce", "reduce_scatter", "all_gather", "all_to_all",
                                      "broadcast",  "barrier",        "split"};

struct Signature {
  Kind kind;
  DType dtype = DType::u8;
  int64_t count = 0;  // elements of one rank's part
  int detail = 0;     // op or root
  bool operator==(const Signature&) const = default;
  std::string str() const {
    return fmt::format("{}({} x {}, {} {})", kKindNames[int(kind)], count, name_of(dtype),
                       kind == Kind::broadcast ? "root" : "op", detail);
  }
};

struct Group;

// One collective. Arrivals fill it; the last one carries it out for all.
struct Operation {
  Signature signature;
  int64_t number = 0;
  int first = 0;  // group rank that came first
  std::vector<bool> here;
  std::vector<ConstView> in;
  std::vector<View> out;
  std::vector<int> color, key;
  std::vector<std::pair<std::shared_ptr<Group>, int>> parts;  // of split, by old rank
  bool done = false;
};

struct Message {
  int from, to, tag;
  ConstView data;
  bool taken = false;
};

struct Group {
  std::shared_ptr<World> world;
  std::vector<int> members;            // world ranks
  std::vector<int64_t> next;           // by group rank: number of its next collective
  std::map<int64_t, std::shared_ptr<Operation>> open;
  std::deque<std::shared_ptr<Message>> messages;

  Group(std::shared_ptr<World> w, std::vector<int> m)
      : world(std::move(w)), members(std::move(m)), next(members.size(), 0) {}
};

void reduce(Operation& op, size_t begin_part, size_t parts, View into) {
  // Rank order, always.
  for (size_t r = 0; r < op.in.size(); ++r) {
    const int64_t n = op.in[r].count() / int64_t(parts), begin = int64_t(begin_part) * n;
    const ConstView part = op.in[r].flat(begin, begin + n);
    if (r == 0) std::memcpy(into.data, part.data, part.bytes());
    else accumulate(into, part, ReduceOp(op.signature.detail));
  }
}

void copy(ConstView from, View to) {
  if (from.data != to.data && from.bytes() > 0) std::memcpy(to.data, from.data, from.bytes());
}

void split(Group& group, Operation& op) {
  std::vector<int> order(op.color.size());
  for (size_t r = 0; r < order.size(); ++r) order[r] = int(r);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return std::pair(op.color[size_t(a)], op.key[size_t(a)]) < std::pair(op.color[size_t(b)], op.key[size_t(b)]);
  });
  op.parts.resize(order.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    std::vector<int> members;
    for (end = begin; end < order.size() && op.color[size_t(order[end])] == op.color[size_t(order[begin])]; ++end)
      members.push_back(group.members[size_t(order[end])]);
    const auto part = std::make_shared<Group>(group.world, members);
    for (size_t i = begin; i < end; ++i) op.parts[size_t(order[i])] = {part, int(i - begin)};
  }
}

void carry_out(Group& group, Operation& op) {
  const size_t ranks = group.members.size();
  const int64_t n = op.signature.count;
  const auto slice = [n](auto view, size_t r) { return view.flat(int64_t(r) * n, int64_t(r + 1) * n); };
  switch (op.signature.kind) {
    case Kind::all_reduce:
      if (n == 0) break;
      {
        Tensor sum({n}, op.signature.dtype);
        reduce(op, 0, 1, sum.view());
        for (const View& out : op.out) copy(sum.view(), out);
      }
      break;
    case Kind::reduce_scatter:
      if (n == 0) break;
      for (size_t r = 0; r < ranks; ++r) reduce(op, r, ranks, op.out[r]);
      break;
    case Kind::all_gather:
      for (size_t r = 0; n > 0 && r < ranks; ++r)
        for (const View& out : op.out) copy(op.in[r], slice(out, r));
      break;
    case Kind::all_to_all:
      for (size_t r = 0; n > 0 && r < ranks; ++r)
        for (size_t to = 0; to < ranks; ++to) copy(slice(op.in[r], to), slice(op.out[to], r));
      break;
    case Kind::broadcast:
      for (const View& out : op.out) copy(op.in[size_t(op.signature.detail)], out);
      break;
    case Kind::barrier: break;
    case Kind::split: split(group, op); break;
  }
}

class ThreadCommunicator;

class ThreadPending final : public PendingOp {
 public:
  ThreadPending(std::shared_ptr<Group> group, int rank, std::shared_ptr<Operation> op)
      : group_(std::move(group)), rank_(rank), op_(std::move(op)), exceptions_at_start_(std::uncaught_exceptions()) {}
  ~ThreadPending() override {
    World& world = *group_->world;
    if (std::uncaught_exceptions() > exceptions_at_start_) {
      // The buffers go away: nobody may carry this out any more.
      const Lock lock(world.mutex);
      if (!op_->done)
        world.fail(world_rank(), ExitCode::peer_lost,
                   fmt::format("rank {} left {} by an exception", world_rank(), op_->signature.str()));
      return;
    }
    try {
      wait();
    } catch (const Error& e) {
      log_warning("{} under way: {}", op_->signature.str(), e.what());
    }
  }
  bool test() override {
    const Lock lock(group_->world->mutex);
    return ready();
  }
  void wait() override {
    World& world = *group_->world;
    Lock lock(world.mutex);
    if (world.changed.wait_for(lock, world.limit, [&] { return ready(); })) return;
    std::string missing;
    for (size_t r = 0; r < op_->here.size(); ++r)
      if (!op_->here[r]) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", r);
    const std::string text = fmt::format("rank {} has waited {} ms in {}, number {}, for rank {}", rank_,
                                         world.limit.count(), op_->signature.str(), op_->number, missing);
    world.fail(world_rank(), ExitCode::hang, text);
    TW_FAIL(hang, "{}", text);
  }
  const Operation& operation() const { return *op_; }

 private:
  int world_rank() const { return group_->members[size_t(rank_)]; }
  bool ready() const {
    const World& world = *group_->world;
    if (op_->done) return true;
    if (world.failure) throw Error(*world.failure);
    for (size_t r = 0; r < op_->here.size(); ++r)
      TW_CHECK(op_->here[r] || !world.finished[size_t(group_->members[r])], peer_lost,
               "rank {} has returned and will not come to {}, number {}", r, op_->signature.str(), op_->number);
    return false;
  }

  std::shared_ptr<Group> group_;
  int rank_;
  std::shared_ptr<Operation> op_;
  int exceptions_at_start_;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return int(group_->members.size()); }
  int node_rank() const override { return rank(); }
  int node_size() const override { return size(); }
  std::string transport() const override { return "threads"; }

  void all_reduce(View buffer, ReduceOp op, const Stream& stream) override {
    start_all_reduce(buffer, op, stream)->wait();
  }
  void reduce_scatter(ConstView in, View out, ReduceOp op, const Stream&) override {
    check_reducible(*this, "reduce_scatter", in);
    check_parts(*this, "reduce_scatter", out, in);
    check_host(*this, "reduce_scatter", in);
    start({Kind::reduce_scatter, in.dtype, out.count(), int(op)}, in, out)->wait();
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
    start({Kind::broadcast, buffer.dtype, buffer.count(), root}, buffer, buffer)->wait();
  }
  void barrier() override { start({Kind::barrier}, {}, {})->wait(); }

  // Returns when the receiver has taken it, as MPI does for large messages.
  void send(ConstView buffer, int to, int tag, const Stream&) override {
    check_peer(*this, "send", to, tag);
    check_host(*this, "send", buffer);
    World& world = *group_->world;
    Lock lock(world.mutex);
    const auto message = std::make_shared<Message>(Message{rank_, to, tag, buffer});
    group_->messages.push_back(message);
    world.changed.notify_all();
    wait_for_peer(lock, "send", to, tag, [&] { return message->taken; });
  }
  void recv(View buffer, int from, int tag, const Stream&) override {
    check_peer(*this, "recv", from, tag);
    check_host(*this, "recv", buffer);
    World& world = *group_->world;
    Lock lock(world.mutex);
    auto& messages = group_->messages;
    auto found = messages.end();
    wait_for_peer(lock, "recv", from, tag, [&] {
      found = std::find_if(messages.begin(), messages.end(), [&](const auto& m) {
        return m->from == from && m->to == rank_ && m->tag == tag;
      });
      return found != messages.end();
    });
    Message& message = **found;
    if (message.data.dtype != buffer.dtype || message.data.count() != buffer.count()) {
      const std::string text =
          fmt::format("rank {} expects {} {} under tag {}, rank {} sent {} {}", rank_, name_of(buffer.dtype),
                      buffer.shape.str(), tag, from, name_of(message.data.dtype), message.data.shape.str());
      world.fail(world_rank(), ExitCode::bug, text);
      TW_FAIL(bug, "{}", text);
    }
    copy(message.data, buffer);
    message.taken = true;
    messages.erase(found);
    world.changed.notify_all();
  }

  Pending start_all_to_all(ConstView in, View out, const Stream&) override {
    check_all_to_all(*this, "all_to_all", in, out);
    check_host(*this, "all_to_all", in);
    return start({Kind::all_to_all, in.dtype, in.count() / size()}, in, out);
  }
  Pending start_all_gather(ConstView in, View out, const Stream&) override {
    check_all_gather(*this, "all_gather", in, out);
    check_host(*this, "all_gather", in);
    return start({Kind::all_gather, in.dtype, in.count()}, in, out);
  }
  Pending start_all_reduce(View buffer, ReduceOp op, const Stream&) override {
    check_reducible(*this, "all_reduce", buffer);
    check_host(*this, "all_reduce", buffer);
    return start({Kind::all_reduce, buffer.dtype, buffer.count(), int(op)}, buffer, buffer);
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    check_color(*this, color);
    const auto pending = start({Kind::split}, {}, {}, color, key);
    pending->wait();
    const auto& [group, rank] = pending->operation().parts[size_t(rank_)];
    return std::make_unique<ThreadCommunicator>(group, rank);
  }

  [[noreturn]] void abort(int exit_code) override {
    throw Error(ExitCode(exit_code), fmt::format("rank {} aborted with code {}", rank_, exit_code));
  }

 private:
  int world_rank() const { return group_->members[size_t(rank_)]; }

  std::unique_ptr<ThreadPending> start(const Signature& signature, ConstView in, View out, int color = 0,
                                       int key = 0) {
    World& world = *group_->world;
    const Lock lock(world.mutex);
    if (world.failure) throw Error(*world.failure);
    const size_t self = size_t(rank_), ranks = group_->members.size();
    const int64_t number = group_->next[self]++;
    std::shared_ptr<Operation>& entry = group_->open[number];
    if (!entry) {
      entry = std::make_shared<Operation>();
      entry->signature = signature;
      entry->number = number;
      entry->first = rank_;
      entry->here.resize(ranks);
      entry->in.resize(ranks);
      entry->out.resize(ranks);
      entry->color.resize(ranks);
      entry->key.resize(ranks);
    }
    const std::shared_ptr<Operation> op = entry;
    if (op->signature != signature) {
      const std::string text = fmt::format("collective number {}: rank {} calls {}, rank {} calls {}", number,
                                           op->first, op->signature.str(), rank_, signature.str());
      world.fail(world_rank(), ExitCode::bug, text);
      TW_FAIL(bug, "{}", text);
    }
    op->here[self] = true;
    op->in[self] = in;
    op->out[self] = out;
    op->color[self] = color;
    op->key[self] = key;
    if (std::all_of(op->here.begin(), op->here.end(), [](bool here) { return here; })) {
      carry_out(*group_, *op);
      op->done = true;
      group_->open.erase(number);
      world.changed.notify_all();
    }
    return std::make_unique<ThreadPending>(group_, rank_, op);
  }

  template <class Condition>
  void wait_for_peer(Lock& lock, const char* call, int peer, int tag, Condition condition) {
    World& world = *group_->world;
    const bool met = world.changed.wait_for(lock, world.limit, [&] {
      if (condition()) return true;
      if (world.failure) throw Error(*world.failure);
      TW_CHECK(!world.finished[size_t(group_->members[size_t(peer)])], peer_lost,
               "rank {} has returned: {} of rank {} under tag {} has no peer", peer, call, rank_, tag);
      return false;
    });
    if (met) return;
    const std::string text = fmt::format("rank {} has waited {} ms in {} under tag {} for rank {}", rank_,
                                         world.limit.count(), call, tag, peer);
    world.fail(world_rank(), ExitCode::hang, text);
    TW_FAIL(hang, "{}", text);
  }

  std::shared_ptr<Group> group_;
  int rank_;
};

}  // namespace

void run_ranks(int ranks, const std::function<void(Communicator&)>& body, std::chrono::milliseconds limit) {
  TW_CHECK(ranks >= 1, bug, "run_ranks: {} ranks", ranks);
  const auto world = std::make_shared<World>();
  world->limit = limit;
  world->finished.resize(size_t(ranks));
  std::vector<int> members(static_cast<size_t>(ranks));
  for (int r = 0; r < ranks; ++r) members[size_t(r)] = r;
  const auto group = std::make_shared<Group>(world, members);

  std::vector<std::exception_ptr> thrown(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  const auto run = [&](int r) {
    set_log_rank(r);
    std::string what = "unknown exception";
    try {
      ThreadCommunicator comm(group, r);
      body(comm);
    } catch (const std::exception& e) {
      thrown[size_t(r)] = std::current_exception();
      what = e.what();
    } catch (...) {
      thrown[size_t(r)] = std::current_exception();
    }
    const Lock lock(world->mutex);
    if (thrown[size_t(r)]) world->fail(r, ExitCode::peer_lost, fmt::format("rank {} is gone: {}", r, what));
    world->finished[size_t(r)] = true;
    world->changed.notify_all();
  };
  for (int r = 0; r < ranks; ++r) threads.emplace_back(run, r);
  for (std::thread& thread : threads) thread.join();

  if (world->failed_rank >= 0 && thrown[size_t(world->failed_rank)])
    std::rethrow_exception(thrown[size_t(world->failed_rank)]);
  for (const std::exception_ptr& e : thrown)
    if (e) std::rethrow_exception(e);
}

}  // namespace tw
