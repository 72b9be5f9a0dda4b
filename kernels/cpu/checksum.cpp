#include "kernels/checksum.h"

#include <algorithm>
#include <atomic>

#include "kernels/cpu/word_sum.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN

void checksum(const Checksum& op, const Stream& stream) {
  constexpr int64_t kGrain = int64_t(1) << 16;
  const int64_t parts = op.sums.dim(0), words = int64_t(op.x.bytes()) / 4 / parts, grains = (words + kGrain - 1) / kGrain;
  const char* x = static_cast<const char*>(op.x.data);
  auto* sums = op.sums.as<int64_t>();
  const int64_t first = op.first, next = op.one_place ? 0 : words;  // from one part's place to the next one's
  std::fill_n(sums, parts, 0);
  stream.team().run(parts * grains, [=](int64_t item, int) {
    const int64_t part = item / grains, begin = item % grains * kGrain, end = std::min(begin + kGrain, words);
    const uint64_t sum = word_sum(x + 4 * (part * words + begin), end - begin, first + part * next + begin);
    std::atomic_ref(sums[part]).fetch_add(int64_t(sum), std::memory_order_relaxed);
  });
}

TW_SIMD_END
TW_SIMD_EXPORT(checksum, Checksum)
