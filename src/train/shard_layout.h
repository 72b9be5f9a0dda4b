// How the flat parameter array is cut in buckets, and each bucket in slices owned by ranks (ZeRO-1:
// Rajbhandari et al. 2020, arXiv:1910.02054 section 5.1).
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tw {

struct Range {
  int64_t begin = 0, end = 0;
  int64_t count() const noexcept { return end - begin; }
};

class ShardLayout {
 public:
  // flat: elements of the parameter table. Every bucket is a multiple of virtual_ranks * kParameterBlock, so
  // that slices of any rank count that divides virtual_ranks end at block borders.
  ShardLayout(int64_t flat, int64_t bucket_elements, int virtual_ranks, int rank, int size);

  int64_t padded_count() const noexcept { return padded_; }  // elements the flat arrays must have
  int buckets() const noexcept { return int(buckets_.size()); }
  Range bucket(int i) const noexcept { return buckets_[size_t(i)]; }
  Range owned(int i) const noexcept;                          // this rank's slice of bucket i, in the flat array
  Range local(int i) const noexcept;                          // the same slice in arrays of owned elements only
  int64_t owned_count() const noexcept { return padded_ / size_; }
  int64_t largest_bucket() const noexcept;
  int virtual_ranks() const noexcept { return virtual_ranks_; }
  int virtual_per_rank() const noexcept { return virtual_ranks_ / size_; }

 private:
  std::vector<Range> buckets_;
  int64_t padded_ = 0;
  int virtual_ranks_, rank_, size_;
};

}  // namespace tw
