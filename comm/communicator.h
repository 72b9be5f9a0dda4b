// What ranks say to each other. One interface; self (one rank, works), threads (tests), MPI, NCCL.
// Collectives are called by every rank of the communicator in the same order with equal sizes.
// Every call throws Error(peer_lost) if a peer is gone, Error(bug) on mismatched arguments.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "src/core/tensor.h"

namespace tw {

enum class ReduceOp { sum, max, min };

// An operation under way. The buffers stay untouched until wait() returns. The destructor waits.
class PendingOp {
 public:
  virtual ~PendingOp() = default;
  virtual bool test() = 0;  // makes progress; true when finished
  virtual void wait() = 0;
};
using Pending = std::unique_ptr<PendingOp>;

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Ranks that share memory with this one, and its place among them (one GPU each).
  virtual int node_rank() const = 0;
  virtual int node_size() const = 0;
  virtual std::string transport() const = 0;  // "self", "threads", "mpi", "nccl"

  // buffer (n): element-wise over the ranks, in place. fp32, fp64, i32, i64. Order of addition is
  // the library's: equal bits on every rank, but not for every rank count. A NaN stays one in a
  // sum; in max and min MPI may lose it.
  virtual void all_reduce(View buffer, ReduceOp op, const Stream& stream) = 0;
  // out (n) = this rank's n-th of the sum of `in` (size * n).
  virtual void reduce_scatter(ConstView in, View out, ReduceOp op, const Stream& stream) = 0;
  // out (size * n) = every rank's `in` (n) in rank order; in may be this rank's part of out.
  virtual void all_gather(ConstView in, View out, const Stream& stream) = 0;
  // Part r of `in` (size * n) goes to rank r; out (size * n) holds one part from each rank.
  virtual void all_to_all(ConstView in, View out, const Stream& stream) = 0;
  virtual void broadcast(View buffer, int root, const Stream& stream) = 0;
  virtual void send(ConstView buffer, int to, int tag, const Stream& stream) = 0;
  virtual void recv(View buffer, int from, int tag, const Stream& stream) = 0;
  virtual void barrier() = 0;

  // Non-blocking forms. Several may be under way; they start in the same order on every rank.
  virtual Pending start_all_to_all(ConstView in, View out, const Stream& stream) = 0;
  virtual Pending start_all_gather(ConstView in, View out, const Stream& stream) = 0;
  virtual Pending start_all_reduce(View buffer, ReduceOp op, const Stream& stream) = 0;

  // Ranks with equal colour form a communicator, ordered by key, then by old rank.
  virtual std::unique_ptr<Communicator> split(int color, int key) = 0;

  // Ends every rank at once with this exit code: the way out of an error no peer knows of.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

// Host-memory conveniences, all built on the virtual calls.
std::string broadcast_text(Communicator& comm, std::string text, int root);     // text of root on all ranks
std::vector<std::string> all_gather_text(Communicator& comm, const std::string& text);
double all_reduce_value(Communicator& comm, double value, ReduceOp op);
int64_t all_reduce_value(Communicator& comm, int64_t value, ReduceOp op);

}  // namespace tw
