#include "src/train/batch_feed.h"

namespace tw {

BatchFeed::BatchFeed(ArenaPlan& plan, int64_t batch, int64_t seq_len, bool starts)
    : ids_id_(plan.add("batch", "ids", {batch, seq_len}, DType::i32)),
      targets_id_(plan.add("batch", "targets", {batch, seq_len}, DType::i32)),
      losses_id_(plan.add("batch", "losses", {batch * seq_len}, DType::fp32)) {
  if (starts) starts_id_ = plan.add("batch", "starts", {batch, seq_len}, DType::i32);
}

void BatchFeed::bind(const Arena& arena, const Stream& stream) {
  ids_ = arena.view(ids_id_), targets_ = arena.view(targets_id_), losses_ = arena.view(losses_id_);
  if (starts_id_ >= 0) starts_ = arena.view(starts_id_);
  on_gpu_ = stream.device().is_cuda();
  if (!on_gpu_) return;
  for (Host& h : hosts_) {
    h.ids = Tensor::beside(stream, ids_.shape, DType::i32), h.targets = Tensor::beside(stream, ids_.shape, DType::i32);
    h.losses = Tensor::beside(stream, losses_.shape, DType::fp32);
    if (starts_) h.starts = Tensor::beside(stream, ids_.shape, DType::i32);
    h.fetched.emplace(stream.device());
  }
}

void BatchFeed::hand_over(Host& host, const OnLosses& on_losses) {
  if (!host.pending) return;
  host.fetched->wait();
  host.pending = false;
  on_losses(host.losses.as<float>());
}

BatchFeed::Slot BatchFeed::begin(const OnLosses& on_losses) {
  if (!on_gpu_) {
    finish(on_losses);
    return {ids_.as<int32_t>(), targets_.as<int32_t>(), starts_ ? starts_.as<int32_t>() : nullptr};
  }
  current_ = 1 - current_;
  Host& h = hosts_[current_];
  hand_over(h, on_losses);
  return {h.ids.as<int32_t>(), h.targets.as<int32_t>(), starts_ ? h.starts.as<int32_t>() : nullptr};
}

void BatchFeed::send(const Stream& stream) {
  if (!on_gpu_) return;
  const Host& h = hosts_[current_];
  copy(h.ids.view(), ids_, stream);
  copy(h.targets.view(), targets_, stream);
  if (starts_) copy(h.starts.view(), starts_, stream);
}

void BatchFeed::fetch(const Stream& stream) {
  pending_ = true;
  if (!on_gpu_) return;
  Host& h = hosts_[current_];
  copy(losses_, h.losses.view(), stream);
  h.fetched->record(stream);
  h.pending = true;
}

void BatchFeed::finish(const OnLosses& on_losses) {
  if (on_gpu_) {
    hand_over(hosts_[1 - current_], on_losses);
    hand_over(hosts_[current_], on_losses);
  } else if (pending_) {
    on_losses(losses_.as<float>());
  }
  pending_ = false;
}

}  // namespace tw
