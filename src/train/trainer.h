// One optimiser step after another, on every rank alike.
#pragma once
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "src/core/gpu.h"
#include "src/core/staging.h"
#include "src/data/batches.h"
#include "src/train/batch_feed.h"
#include "src/train/evaluate.h"
#include "src/train/grad_sync.h"
#include "src/train/integrity.h"
#include "src/train/schedule.h"
#include "src/train/sharded_adamw.h"
#include "src/train/skip_rule.h"

namespace tw {

struct TrainerOptions {
  ModelConfig model;
  AdapterConfig adapters;          // with a rank they alone are trained, beside frozen weights (load_base)
  DType dtype = DType::fp32;
  int64_t seq_len = 0;
  int64_t micro_batch_size = 1;    // sequences
  int64_t global_batch_size = 1;   // sequences a step over all ranks
  int virtual_ranks = 1;
  Determinism determinism = Determinism::elastic;
  Packing packing;
  Checkpointing checkpointing = Checkpointing::selective;
  int64_t bucket_bytes = 4 << 20;
  double max_grad_norm = 1;        // 0 = no clipping
  Schedule schedule;
  AdamWOptions optimizer;
  double skip_step_sigma = 0;
  int64_t max_skipped = 20;        // skipped steps in a row before Error(numerics)
  IntegrityOptions integrity;
  // Throws Error(config) naming the keys that do not fit together, for `ranks` data-parallel ranks.
  void check(int ranks) const;
  int64_t accumulation() const { return global_batch_size / (micro_batch_size * virtual_ranks); }
};

// Batches that a step would have taken but for a rollback.
struct LeftOut {
  int64_t step = 0;     // steps done when they were left out
  int64_t first = 0, batches = 0;  // numbers, from 0, of batches of global_batch_size samples
  float loss = 0;       // the spike that led to it
};

struct StepResult {
  int64_t step = 0;          // 1 after the first
  float loss = 0;            // mean over the global tokens
  float grad_norm = 0;       // of the mean gradient, before clipping
  float lr = 0;
  int64_t tokens = 0;        // scored in this step, all ranks
  StepVerdict verdict = StepVerdict::take;
  double seconds = 0;        // this rank
  double sync_wait_seconds = 0;  // of which waiting for gradients of other ranks
};

class Trainer {
 public:
  // Lays out and allocates all memory. Collective. `batches` gives global samples.
  Trainer(const TrainerOptions& options, std::shared_ptr<const Batches> batches, Communicator& comm, Stream stream);

  const TrainerOptions& options() const noexcept { return options_; }
  const ParameterTable& table() const noexcept { return table_; }              // what is trained
  const ParameterTable& model_table() const noexcept { return model_table_; }  // of the whole model
  const ArenaPlan& plan() const noexcept { return plan_; }

  // Start weights, one of: from the seed; from fp32 values of the flat array; from a checkpoint.
  void initialize(uint64_t seed);
  void set_weights(ConstView flat) { set_weights(0, flat.flat(0, std::min(flat.count(), table_.flat_count()))); }  // host memory
  // resume = true: step, optimiser state and data position too; false: weights alone. Of adapters: their base, too, which lies beside it.
  void load(const Checkpoint& checkpoint, bool resume);
  // The frozen weights beside adapters, whose hash (checkpoint/base.h) must be `hash`, unless that is empty.
  void load_base(const Checkpoint& base, const std::string& hash);

  // One step. Collective. Where numbers went wrong on a rank and computing them again mends it, the step is that of a run nobody touched;
  // else Corruption (integrity.h), on every rank alike. With the verdict spike nothing was done: load() an earlier checkpoint.
  StepResult step();
  Evaluation evaluate(const TokenFile& file, int64_t max_windows);
  // That weights and optimiser state are what the last update wrote, on every rank. Collective. Compute weights are mended from their masters;
  // else Corruption on every rank, naming those that are damaged.
  void check_replicas();
  const Integrity& integrity() const noexcept { return integrity_; }

  // Whether there is a checkpoint to go back to, so that a lasting spike of the loss gets the verdict spike (skip_rule.h).
  void watch_spikes(bool on) noexcept { watch_spikes_ = on; }
  // Batches from the present one on that are left out, and why: after load(), when the data made the loss rise.
  void leave_out(const LeftOut& batches);
  int64_t batch_number() const noexcept;  // of the next step's batch, from 0
  const std::vector<LeftOut>& left_out() const noexcept { return left_out_; }

  int64_t steps_done() const noexcept { return step_; }
  int64_t samples_done() const noexcept { return batch_number() * options_.global_batch_size; }  // consumed or left out
  int64_t tokens_done() const noexcept { return tokens_; }
  int64_t steps_skipped() const noexcept { return skipped_; }
  // Tensors and trainer state for save_checkpoint; the caller fills in config and hashes.
  std::vector<TensorSlice> slices() { return optimizer_.slices(staging_); }
  // The same of a copy that stays as it is while steps go on, until the next call; reserve_snapshot() comes first.
  void reserve_snapshot() { optimizer_.reserve_snapshot(stream_); }
  size_t snapshot_bytes() const noexcept { return optimizer_.snapshot_bytes(); }
  std::vector<TensorSlice> snapshot() { return optimizer_.snapshot(stream_); }
  void describe(CheckpointInfo& info) const;

  // Seconds the last gradient exchange would take alone: exact sum, and plain all-reduce ("off"). Collective; the
  // gradients are used up.
  struct ExchangeCost { double exact = 0, off = 0; };
  ExchangeCost measure_exchange();
  View weights() const noexcept { return optimizer_.weights(); }

 private:
  void set_weights(int64_t first, ConstView values);  // elements from `first` on
  struct LeafSums { double losses = 0, tokens = 0; };  // of the scored tokens
  struct Totals { double squares = 0, losses = 0, tokens = 0; };  // of all ranks
  // Forward and backward of the batch in the feed, gradients added to the model's.
  void run_batch(View gradients, const Transformer::GradientsReady& ready);
  // Micro-batch `a` of a virtual rank. Returns its scored tokens.
  double run_micro_batch(int64_t virtual_rank, int64_t a, View gradients, const Transformer::GradientsReady& ready, const BatchFeed::OnLosses& on_losses);
  LeafSums run_leaf(int leaf, View gradients);
  // The sum of gradients of a step in sync_'s owned slices, and what all ranks say of it. Changes no weight: it may be called again.
  Totals sum_gradients(bool all_checks);
  StepResult result_of(const Totals& totals) const;
  int64_t frozen_sum();  // checksum of the frozen weights here
  // recovery.cpp
  void compute_twice();
  void settle(Totals& totals);
  void settle_arithmetic(Totals& totals);
  bool unusual(const StepResult& r) const;
  bool blend_changes_near() const;

  TrainerOptions options_;
  std::shared_ptr<const Batches> batches_;
  Communicator& comm_;
  Stream stream_;
  ParameterTable model_table_;
  ParameterTable table_;
  ShardLayout layout_;
  ArenaPlan plan_;
  Transformer model_;
  Integrity integrity_;
  ShardedAdamW optimizer_;
  GradSync sync_;
  SkipRule skip_rule_;
  BatchFeed feed_;
  std::map<void*, gpu::Graph> graphs_;  // of a GPU: a batch's ops, by the gradients they are added to
  Staging staging_;
  int squares_id_, frozen_id_ = -1, frozen_sum_id_ = -1;
  Arena arena_;
  View frozen_;        // (model_table_.flat_count()) of the compute dtype, with adapters
  View frozen_sum_;    // (1) i64
  std::string base_hash_;
  int64_t loaded_frozen_sum_ = 0;
  View squares_;       // (buckets, V/R) fp64: sums of squares of gradients
  // (ranks, (buckets + 2) * V/R + Integrity::kWords) fp64 on the host: those, then losses, then scored tokens; then bits of Integrity's words
  Tensor statistics_;
  std::vector<int64_t> words_;  // (ranks, Integrity::kWords) of them
  int64_t step_ = 0, tokens_ = 0, skipped_ = 0;
  int64_t twice_ = -1;          // the virtual rank whose first micro-batch is computed twice in this step; -1 = none
  int64_t last_unusual_ = -1;   // step that was computed again for its loss or norm
  bool watch_spikes_ = false;
  std::vector<LeftOut> left_out_;
};

}  // namespace tw
