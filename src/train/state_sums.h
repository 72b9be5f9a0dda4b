// Checksums of what lies in memory from one update to the next: master weights, m and v of the owned slices, which have no twin on
// another rank, and the compute weights, which every rank holds. An update notes what it read and what it wrote while both are in the cache
// (AdamW::sums, kernels/optimizer.h), so that the state is checked in each step without being read for it. The compute weights of
// a rank are read once more; what they must add up to follows from what the owners wrote.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "src/core/arena.h"
#include "src/train/shard_layout.h"

namespace tw {

class StateSums {
 public:
  // master: whether masters are arrays of their own (bf16), or the compute weights are.
  StateSums(const ShardLayout& layout, int rank, int ranks, bool master) : layout_(layout), rank_(rank), ranks_(ranks), master_(master) {}
  void plan(ArenaPlan& plan);
  void bind(const Arena& arena, const Stream& stream);

  void forget() noexcept { known_ = pending_ = false; }  // the state was set by other means: nothing is expected of it

  // Where AdamW puts the sums of a bucket's update, (kAdamWSums) i64.
  View of_update(int bucket) const { return update_.rows(bucket, bucket + 1).reshape({update_.dim(1)}); }
  // An update was made; gradients: the sums (buckets) of the owned slices it took, or null where they are not known.
  void updated(const int64_t* gradients);

  void weigh(ConstView weights, const Stream& stream);  // checksums of the compute weights (padded_count)
  // m, v and masters of a bucket, once more: before a checkpoint.
  void weigh_state(int bucket, ConstView master, ConstView m, ConstView v, const Stream& stream);

  // After weigh(), weigh_state() of all buckets, fetch() and synchronize(): what was weighed is what is expected, as after a checkpoint was
  // loaded.
  void adopt();

  // To the host. After synchronize(stream): settle() judges the last update, and where `again` m, v and masters as weighed.
  void fetch(const Stream& stream);
  // What differs: "v of bucket 3 (layers.0.mlp.down.weight)", by the range of elements; empty = nothing.
  struct Damage { const char* array; Range elements; };
  std::vector<Damage> settle(bool again);

  bool known() const noexcept { return known_; }
  int64_t weights() const;        // sum of the compute weights here
  int64_t own_weights() const;    // of the owned slices of them
  int64_t written_weights() const;  // what the last update wrote to those; where known()

 private:
  const ShardLayout& layout_;
  int rank_, ranks_;
  bool master_;
  bool known_ = false, pending_ = false, gradients_known_ = false;
  int update_id_ = -1, weights_id_ = -1, state_id_ = -1;
  View update_;   // (buckets, kAdamWSums) i64
  View weights_;  // (buckets, ranks) i64
  View state_;    // (buckets, 3) i64
  Tensor host_update_, host_weights_, host_state_;
  std::vector<int64_t> wrote_;      // (buckets, kAdamWSums): of the last settled update
  std::vector<int64_t> gradients_;  // (buckets)
};

}  // namespace tw
