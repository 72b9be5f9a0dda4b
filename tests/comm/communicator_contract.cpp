#include "tests/comm/communicator_contract.h"

#include <gtest/gtest.h>

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace tw {
namespace {

constexpr int64_t kSizes[] = {0, 1, 10, 10007};
const Stream kHost(Device{}, nullptr);

// A value of (rank, place, index) that every dtype holds exactly and whose sums over ranks stay
// exact in fp32: below 251 in magnitude.
int64_t value(int rank, int64_t i, int64_t salt = 0) { return (31 * rank + 7 * i + 13 * salt) % 251; }

template <class T>
T as(int64_t v) {
  if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, fp16>) return T(float(v));
  else return T(v);
}
template <class T>
double number(T v) {
  if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, fp16>) return double(float(v));
  else return double(v);
}

template <class T>
View view(std::vector<T>& v) { return {v.data(), DTypeOf<T>::value, {int64_t(v.size())}}; }
template <class T>
ConstView view(const std::vector<T>& v) { return {v.data(), DTypeOf<T>::value, {int64_t(v.size())}}; }

// All bytes 0xff: NaN in floating point, so that an unwritten element is seen.
template <class T>
std::vector<T> poisoned(int64_t n) {
  std::vector<T> v(static_cast<size_t>(n));
  if (n > 0) std::memset(static_cast<void*>(v.data()), 0xff, size_t(n) * sizeof(T));
  return v;
}

template <class T, class Formula>
std::vector<T> filled(int64_t n, Formula formula) {
  std::vector<T> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) v[size_t(i)] = as<T>(formula(i));
  return v;
}

// One message for the first wrong element, not ten thousand.
template <class T, class Formula>
void expect_equal(const std::vector<T>& got, Formula formula, const std::string& what) {
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = number(as<T>(formula(int64_t(i))));
    if (!(number(got[i]) == want)) {
      ADD_FAILURE() << what << " of " << name_of(DTypeOf<T>::value) << " x " << got.size() << ": element " << i
                    << " is " << number(got[i]) << ", want " << want;
      return;
    }
  }
}

// The wanted result of a reduction, by the definition.
int64_t reduced(int ranks, int64_t i, ReduceOp op, int64_t salt = 0) {
  int64_t result = value(0, i, salt);
  for (int r = 1; r < ranks; ++r) {
    const int64_t v = value(r, i, salt);
    result = op == ReduceOp::sum ? result + v : op == ReduceOp::max ? std::max(result, v) : std::min(result, v);
  }
  return result;
}

template <class Body>
void for_reducible(Body body) {
  body(float{}), body(double{}), body(int32_t{}), body(int64_t{});
}
template <class Body>
void for_movable(Body body) {
  for_reducible(body), body(uint8_t{}), body(uint16_t{}), body(bf16{}), body(fp16{});
}
constexpr ReduceOp kOps[] = {ReduceOp::sum, ReduceOp::max, ReduceOp::min};

void reports_ranks(Communicator& comm) {
  EXPECT_GE(comm.rank(), 0);
  EXPECT_LT(comm.rank(), comm.size());
  EXPECT_GE(comm.node_rank(), 0);
  EXPECT_LT(comm.node_rank(), comm.node_size());
  EXPECT_LE(comm.node_size(), comm.size());
  // Every rank has a number of its own.
  std::vector<int32_t> seen(size_t(comm.size()), 0);
  seen[size_t(comm.rank())] = 1;
  comm.all_reduce(view(seen), ReduceOp::sum, kHost);
  for (int32_t s : seen) EXPECT_EQ(s, 1);
}

void all_reduce(Communicator& comm) {
  for_reducible([&](auto type) {
    using T = decltype(type);
    for (int64_t n : kSizes)
      for (ReduceOp op : kOps) {
        auto buffer = filled<T>(n, [&](int64_t i) { return value(comm.rank(), i); });
        comm.all_reduce(view(buffer), op, kHost);
        expect_equal(buffer, [&](int64_t i) { return reduced(comm.size(), i, op); }, "all_reduce");
      }
  });
}

// Values whose sum depends on the order: whatever the order, all ranks hold the same bits.
void all_reduce_gives_equal_bits(Communicator& comm) {
  std::vector<float> buffer(10007);
  for (size_t i = 0; i < buffer.size(); ++i)
    buffer[i] = std::ldexp(1.0f + 0.37f * float(comm.rank()), int(i + size_t(comm.rank()) * 5) % 24 - 12) *
                (i % 2 ? 1.0f : -1.0f);
  comm.all_reduce(view(buffer), ReduceOp::sum, kHost);
  const std::vector<float> own = buffer;
  comm.broadcast(view(buffer), 0, kHost);
  EXPECT_EQ(std::memcmp(own.data(), buffer.data(), own.size() * sizeof(float)), 0);
}

void reduce_scatter(Communicator& comm) {
  for_reducible([&](auto type) {
    using T = decltype(type);
    for (int64_t n : kSizes)
      for (ReduceOp op : kOps) {
        const auto in = filled<T>(n * comm.size(), [&](int64_t i) { return value(comm.rank(), i); });
        auto out = poisoned<T>(n);
        comm.reduce_scatter(view(in), view(out), op, kHost);
        expect_equal(out, [&](int64_t i) { return reduced(comm.size(), comm.rank() * n + i, op); },
                     "reduce_scatter");
      }
  });
}

void all_gather(Communicator& comm) {
  for_movable([&](auto type) {
    using T = decltype(type);
    for (int64_t n : kSizes) {
      const auto want = [&](int64_t i) { return value(int(i / n), i % n); };
      const auto in = filled<T>(n, [&](int64_t i) { return value(comm.rank(), i); });
      auto out = poisoned<T>(n * comm.size());
      comm.all_gather(view(in), view(out), kHost);
      expect_equal(out, want, "all_gather");

      auto in_place = poisoned<T>(n * comm.size());
      std::copy(in.begin(), in.end(), in_place.begin() + comm.rank() * n);
      comm.all_gather(ConstView(view(in_place)).flat(comm.rank() * n, (comm.rank() + 1) * n), view(in_place), kHost);
      expect_equal(in_place, want, "all_gather in place");
    }
  });
}

void all_to_all(Communicator& comm) {
  for_movable([&](auto type) {
    using T = decltype(type);
    for (int64_t n : kSizes) {
      const auto in =
          filled<T>(n * comm.size(), [&](int64_t i) { return value(comm.rank(), i % n, /*to=*/i / n); });
      auto out = poisoned<T>(n * comm.size());
      comm.all_to_all(view(in), view(out), kHost);
      expect_equal(out, [&](int64_t i) { return value(int(i / n), i % n, comm.rank()); }, "all_to_all");
    }
  });
}

void broadcast(Communicator& comm) {
  for_movable([&](auto type) {
    using T = decltype(type);
    for (int64_t n : kSizes)
      for (int root = 0; root < comm.size(); ++root) {
        auto buffer = poisoned<T>(n);
        if (comm.rank() == root) buffer = filled<T>(n, [&](int64_t i) { return value(root, i, 3); });
        comm.broadcast(view(buffer), root, kHost);
        expect_equal(buffer, [&](int64_t i) { return value(root, i, 3); }, "broadcast");
      }
  });
}

// Each pair (a, b), a < b, one way and then back, under a tag of the pair.
void send_and_receive(Communicator& comm) {
  for_movable([&](auto type) {
    using T = decltype(type);
    for (int64_t n : kSizes)
      for (int a = 0; a < comm.size(); ++a)
        for (int b = a + 1; b < comm.size(); ++b) {
          const int tag = a * comm.size() + b;
          if (comm.rank() != a && comm.rank() != b) continue;
          const int peer = comm.rank() == a ? b : a;
          const auto own = filled<T>(n, [&](int64_t i) { return value(comm.rank(), i, tag); });
          auto got = poisoned<T>(n);
          if (comm.rank() == a) comm.send(view(own), peer, tag, kHost);
          comm.recv(view(got), peer, tag, kHost);
          if (comm.rank() == b) comm.send(view(own), peer, tag, kHost);
          expect_equal(got, [&](int64_t i) { return value(peer, i, tag); }, "recv");
        }
  });
}

// Messages of one pair under one tag keep their order.
void messages_keep_their_order(Communicator& comm) {
  if (comm.size() < 2 || comm.rank() > 1) return;
  for (int32_t i = 0; i < 20; ++i) {
    std::vector<int32_t> one{i};
    if (comm.rank() == 0) comm.send(view(one), 1, 5, kHost);
    else {
      one[0] = -1;
      comm.recv(view(one), 0, 5, kHost);
      EXPECT_EQ(one[0], i);
    }
  }
}

void nap(int64_t milliseconds) {
  const timespec duration{0, milliseconds * 1000000};
  nanosleep(&duration, nullptr);
}

// Nobody leaves a barrier before the last has come: each rank in turn is the late one.
void barrier(Communicator& comm) {
  for (int late = 0; late < comm.size(); ++late) {
    std::vector<int64_t> arrival{0};
    const auto now = [] {
      timespec t;
      clock_gettime(CLOCK_MONOTONIC, &t);  // one clock for all processes of a node
      return int64_t(t.tv_sec) * 1000000000 + t.tv_nsec;
    };
    comm.barrier();
    if (comm.rank() == late) {
      nap(5);
      arrival[0] = now();
    }
    comm.barrier();
    const int64_t left = now();
    comm.broadcast(view(arrival), late, kHost);
    if (comm.node_size() == comm.size()) {
      EXPECT_GE(left, arrival[0]);
    }
  }
}

// Started in one order, finished in another, by wait, by test and by the destructor.
void several_under_way(Communicator& comm) {
  constexpr int64_t n = 10007;
  const int ranks = comm.size();
  const auto sent = filled<float>(n * ranks, [&](int64_t i) { return value(comm.rank(), i % n, i / n); });
  const auto part = filled<bf16>(n, [&](int64_t i) { return value(comm.rank(), i); });
  auto exchanged = poisoned<float>(n * ranks), second = poisoned<float>(n * ranks);
  auto gathered = poisoned<bf16>(n * ranks);
  auto sum = filled<double>(n, [&](int64_t i) { return value(comm.rank(), i, 1); });
  auto highest = filled<int64_t>(10, [&](int64_t i) { return value(comm.rank(), i, 2); });
  std::vector<int32_t> none;
  {
    Pending a = comm.start_all_to_all(view(sent), view(exchanged), kHost);
    Pending b = comm.start_all_gather(view(part), view(gathered), kHost);
    Pending c = comm.start_all_reduce(view(sum), ReduceOp::sum, kHost);
    Pending d = comm.start_all_to_all(view(sent), view(second), kHost);
    Pending e = comm.start_all_reduce(view(none), ReduceOp::sum, kHost);
    Pending f = comm.start_all_reduce(view(highest), ReduceOp::max, kHost);
    // A blocking call between start and wait must not mix with them.
    EXPECT_EQ(all_reduce_value(comm, int64_t(1), ReduceOp::sum), ranks);
    d->wait();
    d->wait();  // twice is once
    EXPECT_TRUE(d->test());
    while (!a->test()) {}
    EXPECT_TRUE(a->test());
    c->wait();
    e->wait();
    // b and f are left to their destructors.
  }
  const auto want = [&](int64_t i) { return value(int(i / n), i % n, comm.rank()); };
  expect_equal(exchanged, want, "first all_to_all");
  expect_equal(second, want, "second all_to_all");
  expect_equal(gathered, [&](int64_t i) { return value(int(i / n), i % n); }, "all_gather");
  expect_equal(sum, [&](int64_t i) { return reduced(ranks, i, ReduceOp::sum, 1); }, "all_reduce");
  expect_equal(highest, [&](int64_t i) { return reduced(ranks, i, ReduceOp::max, 2); }, "all_reduce max");
}

// The last rank comes late: who neither waits nor tests must not leave the scope before.
void the_destructor_waits(Communicator& comm) {
  constexpr int64_t n = 10;
  const auto own = filled<float>(n, [&](int64_t i) { return value(comm.rank(), i); });
  auto all = poisoned<float>(n * comm.size());
  comm.barrier();
  if (comm.rank() == comm.size() - 1) nap(20);
  { const Pending pending = comm.start_all_gather(view(own), view(all), kHost); }
  expect_equal(all, [&](int64_t i) { return value(int(i / n), i % n); }, "all_gather left to the destructor");
}

void gathers_in_place_without_blocking(Communicator& comm) {
  constexpr int64_t n = 10007;
  auto all = poisoned<float>(n * comm.size());
  for (int64_t i = 0; i < n; ++i) all[size_t(comm.rank() * n + i)] = float(value(comm.rank(), i));
  comm.start_all_gather(ConstView(view(all)).flat(comm.rank() * n, (comm.rank() + 1) * n), view(all), kHost)->wait();
  expect_equal(all, [&](int64_t i) { return value(int(i / n), i % n); }, "start_all_gather in place");
}

// Odd and even ranks, in reverse order; then each part is split again and lives beside its parent.
void split(Communicator& comm) {
  const int color = comm.rank() % 2;
  const auto part = comm.split(color, /*key=*/-comm.rank());
  const int members = (comm.size() + 1 - color) / 2;
  ASSERT_EQ(part->size(), members);
  EXPECT_EQ(part->rank(), members - 1 - comm.rank() / 2);
  EXPECT_EQ(part->transport(), comm.transport());
  EXPECT_LE(part->node_size(), part->size());

  std::vector<int32_t> own{comm.rank()}, all(size_t(members), -1);
  part->all_gather(view(own), view(all), kHost);
  for (int r = 0; r < members; ++r) EXPECT_EQ(all[size_t(r)], 2 * (members - 1 - r) + color);

  const auto single = part->split(part->rank(), 0);
  EXPECT_EQ(single->size(), 1);
  EXPECT_EQ(all_reduce_value(*single, int64_t(comm.rank()), ReduceOp::sum), comm.rank());
  // Equal keys: by old rank.
  const auto same = comm.split(3, 7);
  EXPECT_EQ(same->rank(), comm.rank());
  EXPECT_EQ(same->size(), comm.size());

  // Operations of parent and part under way at once.
  std::vector<double> wide{1}, narrow{1};
  Pending a = comm.start_all_reduce(view(wide), ReduceOp::sum, kHost);
  Pending b = part->start_all_reduce(view(narrow), ReduceOp::sum, kHost);
  b->wait();
  a->wait();
  EXPECT_EQ(wide[0], comm.size());
  EXPECT_EQ(narrow[0], members);
}

void reduces_single_values(Communicator& comm) {
  const int n = comm.size();
  EXPECT_EQ(all_reduce_value(comm, comm.rank() + 0.5, ReduceOp::sum), n * (n - 1) / 2 + 0.5 * n);
  EXPECT_EQ(all_reduce_value(comm, comm.rank() + 0.5, ReduceOp::max), n - 0.5);
  EXPECT_EQ(all_reduce_value(comm, int64_t(comm.rank()) + (int64_t(1) << 60), ReduceOp::min), int64_t(1) << 60);
  EXPECT_TRUE(std::isnan(all_reduce_value(comm, comm.rank() == n - 1 ? std::nan("") : 1.0, ReduceOp::sum)));
}

// Text of a rank: of another length on each, with bytes that are no characters; rank 1 has none and
// the last rank's takes several rounds.
std::string text_of(int rank, int size) {
  if (rank == 1) return {};
  const size_t length = rank == size - 1 ? 200001 : size_t(10 * rank + 3);
  std::string text(length, '\0');
  for (size_t i = 0; i < length; ++i) text[i] = char((i * 11 + i / 251 + size_t(rank)) % 256);
  return text;
}

void exchanges_text(Communicator& comm) {
  for (int root = 0; root < comm.size(); ++root)
    EXPECT_EQ(broadcast_text(comm, comm.rank() == root ? text_of(root, comm.size()) : "old", root),
              text_of(root, comm.size()));
  const auto all = all_gather_text(comm, text_of(comm.rank(), comm.size()));
  ASSERT_EQ(all.size(), size_t(comm.size()));
  for (int r = 0; r < comm.size(); ++r) EXPECT_EQ(all[size_t(r)], text_of(r, comm.size())) << "of rank " << r;
  for (const std::string& text : all_gather_text(comm, "")) EXPECT_EQ(text, "");
}

// Refused on every rank before anything is sent, so that the communicator works on.
void refuses_wrong_arguments(Communicator& comm) {
  const int n = comm.size();
  std::vector<float> part(4), whole(size_t(4 * n)), longer(size_t(4 * n + 1)), other(size_t(4 * n));
  std::vector<double> doubles(size_t(4 * n));
  std::vector<bf16> half(4);
  std::vector<uint8_t> bytes(4);
  const auto expect_bug = [&](auto call, const char* word) {
    try {
      call();
      ADD_FAILURE() << "not refused, want: " << word;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::bug);
      EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find(comm.transport()), std::string::npos) << e.what();
    }
  };
  expect_bug([&] { comm.all_reduce(view(half), ReduceOp::sum, kHost); }, "bf16");
  expect_bug([&] { comm.start_all_reduce(view(bytes), ReduceOp::max, kHost); }, "u8");
  expect_bug([&] { comm.reduce_scatter(view(longer), view(part), ReduceOp::sum, kHost); }, "reduce_scatter");
  expect_bug([&] { comm.reduce_scatter(view(whole), view(whole).rows(0, 4), ReduceOp::sum, kHost); }, "share");
  expect_bug([&] { comm.all_gather(view(part), view(longer), kHost); }, "all_gather");
  expect_bug([&] { comm.all_gather(view(part), view(doubles), kHost); }, "fp64");
  expect_bug([&] { comm.all_gather(ConstView(view(longer)).rows(1, 5), view(longer).rows(0, 4 * n), kHost); },
             "share");
  expect_bug([&] { comm.all_to_all(view(whole), view(doubles), kHost); }, "all_to_all");
  expect_bug([&] { comm.start_all_to_all(view(whole), view(whole), kHost); }, "share");
  if (n > 1) expect_bug([&] { comm.all_to_all(view(longer), view(longer), kHost); }, "multiple");
  expect_bug([&] { comm.broadcast(view(part), n, kHost); }, "root");
  expect_bug([&] { comm.send(view(part), comm.rank(), 0, kHost); }, "send");
  expect_bug([&] { comm.recv(view(part), -1, 0, kHost); }, "recv");
  if (n > 1) expect_bug([&] { comm.send(view(part), (comm.rank() + 1) % n, 32768, kHost); }, "tag");
  expect_bug([&] { comm.split(-1, 0); }, "colour");
  const bool for_gpus = comm.transport() == "nccl" || comm.transport().ends_with("through host memory");
  if (comm.transport() != "self" && !for_gpus)
    expect_bug([&] { comm.all_reduce(View(part.data(), DType::fp32, {4}, {DeviceKind::cuda, 1}), ReduceOp::sum, kHost); },
               "CUDA");
  EXPECT_EQ(all_reduce_value(comm, int64_t(1), ReduceOp::sum), n);
}

}  // namespace

const std::vector<ContractCase>& communicator_contract() {
  static const std::vector<ContractCase> cases = {
      {"ReportsRanks", reports_ranks},
      {"AllReduce", all_reduce},
      {"AllReduceGivesEqualBits", all_reduce_gives_equal_bits},
      {"ReduceScatter", reduce_scatter},
      {"AllGather", all_gather},
      {"AllToAll", all_to_all},
      {"Broadcast", broadcast},
      {"SendAndReceive", send_and_receive},
      {"MessagesKeepTheirOrder", messages_keep_their_order},
      {"Barrier", barrier},
      {"SeveralUnderWay", several_under_way},
      {"TheDestructorWaits", the_destructor_waits},
      {"GathersInPlaceWithoutBlocking", gathers_in_place_without_blocking},
      {"Split", split},
      {"ReducesSingleValues", reduces_single_values},
      {"ExchangesText", exchanges_text},
      {"RefusesWrongArguments", refuses_wrong_arguments},
  };
  return cases;
}

}  // namespace tw
