#include "src/train/state_sums.h"

#include <span>

#include "kernels/checksum.h"
#include "kernels/optimizer.h"

namespace tw {

void StateSums::plan(ArenaPlan& plan) {
  const int64_t buckets = layout_.buckets();
  update_id_ = plan.add("checksums", "update", {buckets, kAdamWSums}, DType::i64);
  weights_id_ = plan.add("checksums", "weights", {buckets, ranks_}, DType::i64);
  state_id_ = plan.add("checksums", "state", {buckets, 3}, DType::i64);
}

void StateSums::bind(const Arena& arena, const Stream& stream) {
  update_ = arena.view(update_id_), weights_ = arena.view(weights_id_), state_ = arena.view(state_id_);
  host_update_ = Tensor::beside(stream, update_.shape, DType::i64), host_weights_ = Tensor::beside(stream, weights_.shape, DType::i64);
  host_state_ = Tensor::beside(stream, state_.shape, DType::i64);
  wrote_.resize(size_t(update_.count())), gradients_.resize(size_t(layout_.buckets()));
}

void StateSums::updated(const int64_t* gradients) {
  pending_ = true;
  gradients_known_ = gradients != nullptr;
  if (gradients) gradients_.assign(gradients, gradients + layout_.buckets());
}

// In words: a bf16 is half of one.
void StateSums::weigh(ConstView weights, const Stream& stream) {
  for (int b = 0; b < layout_.buckets(); ++b) {
    const Range all = layout_.bucket(b);
    checksum({.x = weights.flat(all.begin, all.end), .sums = weights_.rows(b, b + 1).reshape({ranks_}), .first = master_ ? all.begin / 2 : all.begin}, stream);
  }
}

void StateSums::weigh_state(int bucket, ConstView master, ConstView m, ConstView v, const Stream& stream) {
  const int64_t first = layout_.owned(bucket).begin;
  const View sums = state_.rows(bucket, bucket + 1).reshape({3});
  checksum({.x = master, .sums = sums.flat(0, 1), .first = first}, stream);
  checksum({.x = m, .sums = sums.flat(1, 2), .first = first}, stream);
  checksum({.x = v, .sums = sums.flat(2, 3), .first = first}, stream);
}

void StateSums::adopt() {
  const int64_t *state = host_state_.as<int64_t>(), *weights = host_weights_.as<int64_t>();
  for (int b = 0; b < layout_.buckets(); ++b) {
    int64_t* wrote = wrote_.data() + b * kAdamWSums;
    for (int j = 0; j < 3; ++j) wrote[kWroteParam + j] = state[3 * b + j];
    wrote[kWroteCopy] = weights[b * ranks_ + rank_];
  }
  known_ = true, pending_ = false;
}

void StateSums::fetch(const Stream& stream) {
  copy(update_, host_update_.view(), stream), copy(weights_, host_weights_.view(), stream), copy(state_, host_state_.view(), stream);
}

std::vector<StateSums::Damage> StateSums::settle(bool again) {
  std::vector<Damage> found;
  const char* const arrays[3] = {master_ ? "master weights" : "weights", "m", "v"};
  const int64_t* update = host_update_.as<int64_t>();
  for (int b = 0; pending_ && b < layout_.buckets(); ++b) {
    const int64_t *now = update + b * kAdamWSums, *before = wrote_.data() + b * kAdamWSums;
    for (int j = 0; known_ && j < 3; ++j)
      if (now[kReadParam + j] != before[kWroteParam + j]) found.push_back({arrays[j], layout_.owned(b)});
    if (gradients_known_ && now[kReadGradient] != gradients_[size_t(b)]) found.push_back({"summed gradients", layout_.owned(b)});
  }
  if (pending_) wrote_.assign(update, update + wrote_.size()), known_ = true, pending_ = false;
  for (int b = 0; again && known_ && b < layout_.buckets(); ++b)
    for (int j = 0; j < 3; ++j)
      if (host_state_.as<int64_t>()[3 * b + j] != wrote_[size_t(b * kAdamWSums + kWroteParam + j)]) found.push_back({arrays[j], layout_.owned(b)});
  return found;
}

int64_t StateSums::weights() const {
  return checksum_total(std::span(host_weights_.as<int64_t>(), size_t(host_weights_.count())));
}
int64_t StateSums::own_weights() const {
  uint64_t sum = 0;
  for (int b = 0; b < layout_.buckets(); ++b) sum += uint64_t(host_weights_.as<int64_t>()[b * ranks_ + rank_]);
  return int64_t(sum);
}
int64_t StateSums::written_weights() const {
  uint64_t sum = 0;
  for (int b = 0; b < layout_.buckets(); ++b) sum += uint64_t(wrote_[size_t(b * kAdamWSums + (master_ ? kWroteCopy : kWroteParam))]);
  return int64_t(sum);
}

}  // namespace tw
