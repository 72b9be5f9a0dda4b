#include "src/train/shard_layout.h"

#include <algorithm>

#include "kernels/optimizer.h"

namespace tw {

ShardLayout::ShardLayout(int64_t flat, int64_t bucket_elements, int virtual_ranks, int rank, int size)
    : virtual_ranks_(virtual_ranks), rank_(rank), size_(size) {
  TW_CHECK(virtual_ranks >= 1 && virtual_ranks % size == 0, bug, "{} ranks do not divide {} virtual ranks", size,
           virtual_ranks);
  const int64_t unit = virtual_ranks * kParameterBlock;
  const auto round_up = [&](int64_t n) { return (n + unit - 1) / unit * unit; };
  padded_ = round_up(flat);
  const int64_t step = round_up(std::max<int64_t>(1, bucket_elements));
  for (int64_t begin = 0; begin < padded_; begin += step) buckets_.push_back({begin, std::min(begin + step, padded_)});
}

Range ShardLayout::owned(int i) const noexcept {
  const Range b = buckets_[size_t(i)];
  const int64_t n = b.count() / size_;
  return {b.begin + rank_ * n, b.begin + (rank_ + 1) * n};
}

Range ShardLayout::local(int i) const noexcept {
  const Range b = buckets_[size_t(i)];
  return {b.begin / size_, b.end / size_};
}

int64_t ShardLayout::largest_bucket() const noexcept {
  int64_t most = 0;
  for (const Range& b : buckets_) most = std::max(most, b.count());
  return most;
}

}  // namespace tw
