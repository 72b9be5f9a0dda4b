// Checksums beside the gradients' way over the ranks: of what each rank sent for each slice, of what arrived, and of what was summed.
// All a rank sent and all that arrived anywhere are two numbers a rank; their totals over the ranks agree unless a message was damaged
// (checksums are linear, kernels/checksum.h), so that a step needs no exchange of its own for them. Who, to whom and which bucket
// is asked for after an alarm alone.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "src/core/arena.h"
#include "src/train/shard_layout.h"

namespace tw {

class ExchangeSums {
 public:
  ExchangeSums(const ShardLayout& layout, int ranks) : layout_(layout), ranks_(ranks) {}
  void plan(ArenaPlan& plan);
  void bind(const Arena& arena, const Stream& stream);

  void begin(bool wanted, const Stream& stream);  // of a step: whether sums are taken in it
  bool taken() const noexcept { return wanted_; }

  // bucket (n) of this rank, as it is sent.
  void sent(int bucket, ConstView values, const Stream& stream);
  // parts (ranks n/ranks): what came from each rank for this rank's slice.
  void arrived(int bucket, ConstView parts, const Stream& stream);
  // This rank's slice, the sum over all ranks.
  void summed(int bucket, ConstView slice, const Stream& stream);
  // bucket (n), where a library's all-reduce made it: the same on every rank.
  void reduced(int bucket, ConstView values, const Stream& stream);

  // To the host, valid after synchronize(stream) in a step in which sums are taken.
  void fetch(const Stream& stream);
  int64_t total_sent() const;
  int64_t total_arrived() const;
  int64_t total_summed() const;
  int64_t total_reduced() const;
  const int64_t* summed() const { return host_summed_.as<int64_t>(); }  // (buckets)

  // Collective, after fetch: the messages that were damaged, "bucket 3 from rank 1 to rank 2".
  struct Damaged { int bucket, from, to; };
  std::vector<Damaged> damaged(Communicator& comm, const Stream& stream) const;

 private:
  const ShardLayout& layout_;
  int ranks_;
  bool wanted_ = false;
  int sent_id_ = -1, arrived_id_ = -1, summed_id_ = -1, reduced_id_ = -1;
  View sent_, arrived_;     // (buckets, ranks) i64
  View summed_, reduced_;   // (buckets) i64
  Tensor host_sent_, host_arrived_, host_summed_, host_reduced_;
};

}  // namespace tw
