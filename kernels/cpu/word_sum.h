// What kernels/checksum.h adds up, for a stretch of memory that is in the cache.
#pragma once
#include <cstring>

#include "kernels/checksum.h"
#include "kernels/cpu/vector.h"

TW_SIMD_BEGIN

// `words` words at x, the first at `place`.
TW_INLINE uint64_t word_sum(const void* x, int64_t words, int64_t place) {
  const char* from = static_cast<const char*>(x);
  const uint32_t first = uint32_t(2 * place + 1);
  uint64_t sum = 0;
  for (int64_t i = 0; i < words; ++i) {
    uint32_t word;
    std::memcpy(&word, from + 4 * i, 4);
    sum += uint64_t(word) * (first + 2 * uint32_t(i));
  }
  return sum;
}

TW_SIMD_END
