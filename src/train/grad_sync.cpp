#include "src/train/grad_sync.h"

#include <bit>

#include "kernels/fill.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise.h"
#include "src/core/clock.h"
#include "src/core/fault.h"

namespace tw {
namespace {
constexpr int kSlots = 4;  // buckets in flight
}

Determinism determinism_named(const std::string& name) {
  if (name == "elastic") return Determinism::elastic;
  if (name == "run") return Determinism::run;
  if (name == "off") return Determinism::off;
  TW_FAIL(config, "debug.deterministic = \"{}\" is not known: elastic, run or off", name);
}

GradSync::GradSync(Communicator& comm, const ShardLayout& layout, Determinism mode, ExchangeSums* sums)
    : comm_(comm), layout_(layout), mode_(mode), sums_(sums), leaves_(layout.virtual_per_rank()) {
  TW_CHECK(std::has_single_bit(unsigned(leaves_)), bug, "{} virtual ranks a rank is no power of two", leaves_);
  heights_ = std::countr_zero(unsigned(leaves_)) + 1;
}

void GradSync::plan(ArenaPlan& plan) {
  for (int h = 0; h < heights_; ++h)
    buffer_ids_.push_back(plan.add("gradients", "gradients." + std::to_string(h), {layout_.padded_count()}, DType::fp32));
  if (mode_ != Determinism::off)
    staging_id_ = plan.add("gradients", "arriving", {kSlots, layout_.largest_bucket()}, DType::fp32);
}

void GradSync::bind(const Arena& arena) {
  buffers_.clear();
  for (int id : buffer_ids_) buffers_.push_back(arena.view(id));
  if (staging_id_ >= 0) staging_ = arena.view(staging_id_);
}

View GradSync::begin_leaf(int leaf, const Stream& stream) {
  const View buffer = buffers_[size_t(std::popcount(unsigned(leaf)))];
  zero({.x = buffer}, stream);
  if (leaf == leaves_ - 1) next_bucket_ = layout_.buckets() - 1;
  return buffer;
}

void GradSync::end_leaf(int leaf, const Stream& stream) {
  int top = std::popcount(unsigned(leaf));
  for (int carries = std::countr_one(unsigned(leaf)); carries > 0; --carries, --top) {
    const View low = buffers_[size_t(top - 1)];
    add({.a = low, .b = buffers_[size_t(top)], .out = low}, stream);
  }
}

void GradSync::ready(int64_t offset, const Stream& stream) {
  for (Flight& f : flights_) f.pending->test();  // MPI moves data only when it is asked
  while (next_bucket_ >= 0 && layout_.bucket(next_bucket_).begin >= offset) start(next_bucket_--, stream);
}

void GradSync::start(int bucket, const Stream& stream) {
  const Range b = layout_.bucket(bucket);
  for (int h = heights_ - 1; h > 0; --h) {
    const View low = buffers_[size_t(h - 1)].flat(b.begin, b.end);
    add({.a = low, .b = buffers_[size_t(h)].flat(b.begin, b.end), .out = low}, stream);
  }
  const View own = buffers_[0].flat(b.begin, b.end);
  fault_memory("train.gradient", own, stream);
  if (layout_.owned(bucket).count() == b.count()) {  // nobody else has a part in it
    if (sums_) sums_->summed(bucket, own, stream);
    return fault_memory("train.summed", own, stream);
  }
  if (sums_ && mode_ != Determinism::off) sums_->sent(bucket, own, stream);
  fault_memory("train.sending", own, stream);
  if (mode_ == Determinism::off) {
    flights_.push_back({comm_.start_all_reduce(own, ReduceOp::sum, stream), bucket, 0});
    return;
  }
  while (flights_.size() >= kSlots) {
    Flight oldest = std::move(flights_.front());
    flights_.pop_front();
    land(std::move(oldest), stream);
  }
  const int slot = next_slot_;
  next_slot_ = (next_slot_ + 1) % kSlots;
  const View arriving = staging_.rows(slot, slot + 1).reshape({layout_.largest_bucket()}).flat(0, b.count());
  flights_.push_back({comm_.start_all_to_all(own, arriving, stream), bucket, slot});
}

void GradSync::land(Flight flight, const Stream& stream) {
  const double start = now_seconds();
  flight.pending->wait();
  waited_ += now_seconds() - start;
  const Range b = layout_.bucket(flight.bucket), mine = layout_.owned(flight.bucket);
  const View whole = buffers_[0].flat(b.begin, b.end), slice = buffers_[0].flat(mine.begin, mine.end);
  if (mode_ == Determinism::off) {
    fault_memory("train.arriving", whole, stream);
    if (sums_) sums_->reduced(flight.bucket, whole, stream), sums_->summed(flight.bucket, slice, stream);
    return;
  }
  const View arrived = staging_.rows(flight.slot, flight.slot + 1).reshape({layout_.largest_bucket()}).flat(0, b.count());
  fault_memory("train.arriving", arrived, stream);
  if (sums_) sums_->arrived(flight.bucket, arrived, stream);
  tree_sum({.parts = arrived.reshape({comm_.size(), mine.count()}), .out = slice}, stream);
  if (sums_) sums_->summed(flight.bucket, slice, stream);
  fault_memory("train.summed", slice, stream);
}

void GradSync::finish(const Stream& stream) {
  ready(0, stream);
  while (!flights_.empty()) {
    Flight oldest = std::move(flights_.front());
    flights_.pop_front();
    land(std::move(oldest), stream);
  }
}

}  // namespace tw
