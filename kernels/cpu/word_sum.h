// What kernels/checksum.h adds up, for a stretch of memory that is in the cache.
#pragma once
#include <cstring>

#include "kernels/checksum.h"
#include "kernels/cpu/vector.h"

TW_SIMD_BEGIN

// `words` words at x, the first at `place`. Lanes of 64 bits hold two words, whose products are made apart.
TW_INLINE uint64_t word_sum(const void* x, int64_t words, int64_t place) {
  const char* from = static_cast<const char*>(x);
  Words first, sum_low{}, sum_high{};
  for (int j = 0; j < kLanes / 2; ++j) first[j] = uint32_t(2 * (place + 2 * j) + 1);
  Words factor = first;  // the upper halves, where additions carry over, count for nothing
  const int64_t whole = words / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    Words w;
    std::memcpy(&w, from + 4 * i, sizeof w);
    sum_low += product(w, factor);
    sum_high += product(w >> 32, factor + 2);
    factor += 2 * kLanes;
  }
  uint64_t sum = 0;
  for (int j = 0; j < kLanes / 2; ++j) sum += sum_low[j] + sum_high[j];
  for (int j = 0; j < int(words - whole); ++j) {
    uint32_t word;
    std::memcpy(&word, from + 4 * (whole + j), 4);
    sum += checksum_term(word, uint64_t(place + whole + j));
  }
  return sum;
}

TW_SIMD_END
