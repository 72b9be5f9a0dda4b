// rounding_noise for a whole block of parameters: Rng::block (Philox, src/core/rng.h) for several counters side by side.
#pragma once
#include "kernels/cpu/vector.h"
#include "kernels/optimizer.h"

TW_SIMD_BEGIN

// noise[i] = rounding_noise(seed, step, first + i) for a block; first is a multiple of 8.
TW_INLINE void rounding_noise_of(uint64_t seed, int64_t step, int64_t first, uint16_t* noise) {
  constexpr int kCounters = kLanes / 2;  // 8 numbers each
  const Words low = Words{} + 0xffffffffu;
  const Rng rng = rounding_rng(seed, step);
  for (int64_t i = 0; i < kParameterBlock; i += 8 * kCounters) {
    Words index;
    for (int j = 0; j < kCounters; ++j) index[j] = uint64_t(first + i) / 8 + uint64_t(j);
    Words c[4] = {index & low, index >> 32, Words{} + rng.a, Words{} + rng.b};
    auto key = rng.key();
    for (int round = 0; round < kPhiloxRounds; ++round, key = next_philox_key(key)) {
      const Words p0 = product(c[0], Words{} + kPhiloxFactors[0]), p1 = product(c[2], Words{} + kPhiloxFactors[1]);
      c[0] = (p1 >> 32) ^ c[1] ^ (Words{} + key[0]);
      c[1] = p1 & low;
      c[2] = (p0 >> 32) ^ c[3] ^ (Words{} + key[1]);
      c[3] = p0 & low;
    }
    const Words front = c[0] | c[1] << 32, back = c[2] | c[3] << 32;
    for (int j = 0; j < kCounters; ++j) {
      const uint64_t both[2] = {front[j], back[j]};
      std::memcpy(noise + i + 8 * j, both, sizeof both);
    }
  }
}

TW_SIMD_END
