// The way of micro-batches to the device and of their losses back. On a GPU two pairs of pinned host buffers take turns, so
// that the host makes the next batch while the device works on the last; on the CPU both are one memory and nothing is copied.
#pragma once
#include <functional>
#include <optional>

#include "src/core/arena.h"
#include "src/core/gpu.h"

namespace tw {

class BatchFeed {
 public:
  // What a batch of B rows of T tokens is made of, in host memory.
  struct Slot {
    int32_t *ids, *targets, *starts;  // (B, T); starts null where they are not wanted
  };
  // Called with the losses (B T) of one batch after another, in their order.
  using OnLosses = std::function<void(const float*)>;

  BatchFeed(ArenaPlan& plan, int64_t batch, int64_t seq_len, bool starts);
  void bind(const Arena& arena, const Stream& stream);

  // A batch to fill in. May first wait for the losses of the batch before last.
  Slot begin(const OnLosses& on_losses);
  void send(const Stream& stream);   // what begin() gave is filled in: to ids(), targets(), starts()
  void fetch(const Stream& stream);  // losses() are made
  void finish(const OnLosses& on_losses);  // those still under way

  // On the device.
  View ids() const noexcept { return ids_; }
  View targets() const noexcept { return targets_; }
  View starts() const noexcept { return starts_; }  // empty where they are not wanted
  View losses() const noexcept { return losses_; }

 private:
  struct Host {
    Tensor ids, targets, starts, losses;
    std::optional<gpu::Event> fetched;
    bool pending = false;
  };
  void hand_over(Host& host, const OnLosses& on_losses);

  int ids_id_, targets_id_, losses_id_, starts_id_ = -1;
  View ids_, targets_, starts_, losses_;
  Host hosts_[2];  // of a GPU
  int current_ = 0;
  bool on_gpu_ = false;
  bool pending_ = false;  // on the CPU
};

}  // namespace tw
