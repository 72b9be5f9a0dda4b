// The gradient sum over data-parallel ranks, with the same bits on any number of them.
//
// A run has V virtual ranks. Each sums its micro-batches in order, in place; the V sums are added in one
// fixed binary tree over the virtual ranks. A real rank owns an aligned subtree of V/R of them: it keeps
// a stack of partial sums (log2(V/R) + 1 buffers) and merges two of equal height as a binary counter
// carries. Across ranks an all-to-all of slices and an ordered tree sum take the place of reduce-scatter:
// the same bytes move, and each rank ends with the slice whose optimiser state it owns. Buckets start
// while backward still runs. docs/architecture.md, "The exact sum".
#pragma once
#include <deque>
#include <string>

#include "comm/communicator.h"
#include "src/core/arena.h"
#include "src/train/exchange_sums.h"

namespace tw {

// elastic: as above. run: V = ranks, slices and ordered sum (equal bits on an equal number of ranks).
// off: the library's all-reduce, whatever order it adds in.
enum class Determinism { elastic, run, off };
Determinism determinism_named(const std::string& name);  // Error(config)

class GradSync {
 public:
  // sums: told of what is sent, arrives and is summed; or null.
  GradSync(Communicator& comm, const ShardLayout& layout, Determinism mode, ExchangeSums* sums = nullptr);
  void plan(ArenaPlan& plan);
  void bind(const Arena& arena);

  int leaves() const noexcept { return leaves_; }  // virtual ranks of this rank
  // The zeroed buffer (padded_count) in which virtual rank `leaf` of this rank (0 .. leaves-1, in order) adds its
  // gradients.
  View begin_leaf(int leaf, const Stream& stream);
  // After a virtual rank other than the last.
  void end_leaf(int leaf, const Stream& stream);
  // During the last virtual rank's last backward: elements from `offset` on are final.
  void ready(int64_t offset, const Stream& stream);
  // Waits for all buckets. Then sums(): the owned slices hold the sum over all virtual ranks.
  void finish(const Stream& stream);
  View sums() const noexcept { return buffers_[0]; }
  double waited_seconds() const noexcept { return waited_; }  // in finish and for free slots, since the start

 private:
  struct Flight {
    Pending pending;
    int bucket, slot;
  };
  void start(int bucket, const Stream& stream);
  void land(Flight flight, const Stream& stream);

  Communicator& comm_;
  const ShardLayout& layout_;
  Determinism mode_;
  ExchangeSums* sums_;
  int leaves_, heights_;
  std::vector<int> buffer_ids_;
  int staging_id_ = -1;
  std::vector<View> buffers_;  // partial sums, the lowest in the stack first
  View staging_;               // (slots, largest bucket): what arrives
  std::deque<Flight> flights_;
  int next_bucket_ = -1;       // the next to start, downwards
  int next_slot_ = 0;
  double waited_ = 0;
};

}  // namespace tw
