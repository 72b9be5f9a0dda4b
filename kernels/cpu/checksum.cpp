#include "kernels/checksum.h"

#include <cstring>

#include "src/core/thread_team.h"

namespace tw {

void cpu::checksum(const Checksum& op, const Stream& stream) {
  constexpr int64_t kGrain = int64_t(1) << 16;
  const int64_t words = int64_t(op.x.bytes() / 4), blocks = (words + kGrain - 1) / kGrain;
  const char* x = static_cast<const char*>(op.x.data);
  auto* partial = static_cast<uint64_t*>(stream.team().workspace(size_t(blocks + 1) * sizeof(uint64_t)));
  parallel_blocks(stream, words, kGrain, [=](int64_t begin, int64_t end, int) {
    uint64_t sum = 0;
    for (int64_t i = begin; i < end; ++i) {
      uint32_t word;
      std::memcpy(&word, x + 4 * i, 4);
      sum += checksum_mix(word, uint64_t(i));
    }
    partial[begin / kGrain] = sum;
  });
  uint64_t sum = 0;
  for (int64_t b = 0; b < blocks; ++b) sum += partial[b];
  op.sum.as<int64_t>()[0] = int64_t(sum);
}

}  // namespace tw
