// AdamW whose state is sharded over the data-parallel ranks (ZeRO-1): each rank updates the slices it owns and the
// updated weights are gathered.
#pragma once
#include <vector>

#include "comm/communicator.h"
#include "src/checkpoint/checkpoint.h"
#include "src/core/arena.h"
#include "src/core/staging.h"
#include "src/nn/parameters.h"
#include "src/train/state_sums.h"

namespace tw {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
  bool stochastic_rounding = false;  // of bf16 weights (kernels/optimizer.h)
  uint64_t seed = 0;
};

class ShardedAdamW {
 public:
  // dtype: of the compute weights. With bf16 a fp32 master copy of the owned slices is kept; with fp32 the
  // weights are their own master.
  ShardedAdamW(Communicator& comm, const ParameterTable& table, const ShardLayout& layout, DType dtype,
               const AdamWOptions& options);
  void plan(ArenaPlan& plan);
  void bind(const Arena& arena, Staging& staging);

  View weights() const noexcept { return weights_; }  // (padded_count) of the compute dtype, complete on every rank

  // Start weights: elements of the flat array from `first` on, fp32, on the device.
  void set_weights(int64_t first, ConstView values, const Stream& stream);
  // Makes the compute weights of all ranks from the owned masters. Collective.
  void gather_weights(const Stream& stream);
  // sum of squares of the owned slices, one number for each bucket and owned virtual slice, (buckets, V/R) fp64.
  void sums_of_squares(ConstView gradients, View sums, const Stream& stream) const;
  // One update from the owned slices of `gradients` (padded_count), scaled; then the weights are gathered. sums: told of what the update
  // read and wrote; or null. Collective.
  void step(ConstView gradients, double lr, double gradient_scale, StateSums* sums, const Stream& stream);
  void weigh_state(StateSums& sums, const Stream& stream) const;  // masters, m and v of the owned slices

  int64_t updates() const noexcept { return updates_; }
  void set_updates(int64_t updates) noexcept { updates_ = updates; }

  // The owned pieces of weight, m and v by logical tensor in host memory, for a checkpoint. Valid while nothing is updated
  // and until the next call; of a GPU's they are copies.
  std::vector<TensorSlice> slices(Staging& staging);
  // The same of a copy in host memory, which stays as it is until the next call of either while updates go on. The first
  // call of reserve_snapshot() sets the memory aside (pinned, of a GPU's) and touches it, so that no copy waits for pages.
  size_t snapshot_bytes() const noexcept { return size_t(3 * layout_.owned_count()) * sizeof(float); }
  void reserve_snapshot(const Stream& stream);
  std::vector<TensorSlice> snapshot(const Stream& stream);
  // Reads the owned pieces. With optimizer = false only the weights (m, v start at zero). Collective (gathers).
  // Error(data) where the checkpoint's tensors do not fit the model.
  void load(const Checkpoint& checkpoint, bool optimizer, Staging& staging, const Stream& stream);

 private:
  View master(int bucket) const;  // fp32 owned slice
  std::vector<TensorSlice> slices_of(bool copies) const;  // of the copies on the host, or where the state lies
  template <class Visit>
  void visit_owned(Visit&& visit) const;

  Communicator& comm_;
  const ParameterTable& table_;
  const ShardLayout& layout_;
  DType dtype_;
  AdamWOptions options_;
  int64_t updates_ = 0;
  int weights_id_ = -1, master_id_ = -1, m_id_ = -1, v_id_ = -1, decayed_id_ = -1;
  View weights_, master_, m_, v_;
  View decayed_;  // (padded_count / kParameterBlock) u8
  Tensor host_master_, host_m_, host_v_;  // (owned): copies in host memory
};

}  // namespace tw
