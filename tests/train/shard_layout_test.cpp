#include "src/train/shard_layout.h"

#include <gtest/gtest.h>

#include "kernels/optimizer.h"

namespace tw {
namespace {

TEST(ShardLayout, SlicesCoverEachElementOnceForEveryRankCount) {
  for (int64_t flat : {1, 256, 100000, 123456})
    for (int64_t bucket : {1, 4096, 5000, 1 << 20})
      for (int size : {1, 2, 4, 8}) {
        const int64_t padded = ShardLayout(flat, bucket, 8, 0, size).padded_count();
        EXPECT_GE(padded, flat);
        std::vector<int> seen(static_cast<size_t>(padded));
        for (int rank = 0; rank < size; ++rank) {
          const ShardLayout layout(flat, bucket, 8, rank, size);
          EXPECT_EQ(layout.padded_count(), padded);
          int64_t local = 0;
          for (int b = 0; b < layout.buckets(); ++b) {
            const Range mine = layout.owned(b);
            EXPECT_EQ(mine.begin % kParameterBlock, 0);
            EXPECT_EQ(layout.bucket(b).count() % (8 * kParameterBlock), 0);
            EXPECT_LE(layout.bucket(b).count(), layout.largest_bucket());
            EXPECT_EQ(layout.local(b).begin, local);
            EXPECT_EQ(layout.local(b).count(), mine.count());
            local = layout.local(b).end;
            for (int64_t i = mine.begin; i < mine.end; ++i) ++seen[size_t(i)];
          }
          EXPECT_EQ(local, layout.owned_count());
        }
        for (int s : seen) ASSERT_EQ(s, 1);
      }
}

}  // namespace
}  // namespace tw
