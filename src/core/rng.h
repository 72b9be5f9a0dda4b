// Random numbers as a function: nothing is stored and nothing depends on ranks or threads.
// Philox4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3.
#pragma once
#include <array>
#include <cstdint>

namespace tw {

// What a stream of numbers is for; a part of the key, so streams never overlap.
enum class RngStream : uint32_t { init = 1, data_order = 2, dropout = 3, sampling = 4, test = 5, rounding = 6, repeat = 7 };

inline constexpr uint32_t kPhiloxFactors[2] = {0xD2511F53u, 0xCD9E8D57u};
// constexpr, so that GPUs may call it too.
inline constexpr void philox_round(uint32_t& c0, uint32_t& c1, uint32_t& c2, uint32_t& c3, uint32_t k0, uint32_t k1) noexcept {
  const uint64_t p0 = uint64_t(kPhiloxFactors[0]) * c0, p1 = uint64_t(kPhiloxFactors[1]) * c2;
  c0 = uint32_t(p1 >> 32) ^ c1 ^ k0, c1 = uint32_t(p1), c2 = uint32_t(p0 >> 32) ^ c3 ^ k1, c3 = uint32_t(p0);
}
inline constexpr int kPhiloxRounds = 10;
inline constexpr std::array<uint32_t, 2> next_philox_key(std::array<uint32_t, 2> k) noexcept {
  return {k[0] + 0x9E3779B9u, k[1] + 0xBB67AE85u};
}
// Four 32-bit words for a counter and a key.
inline constexpr std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) noexcept {
  for (int round = 0; round < kPhiloxRounds; ++round, k = next_philox_key(k)) philox_round(c[0], c[1], c[2], c[3], k[0], k[1]);
  return c;
}

// Word `index` of the stream (seed, stream, a, b), for example a = step, b = layer or sample.
struct Rng {
  uint64_t seed = 0;
  RngStream stream = RngStream::init;
  uint32_t a = 0, b = 0;

  constexpr std::array<uint32_t, 2> key() const noexcept {
    return {uint32_t(seed) ^ (uint32_t(stream) * 0x85EBCA6Bu), uint32_t(seed >> 32)};
  }
  constexpr std::array<uint32_t, 4> block(uint64_t index) const noexcept {
    return philox({uint32_t(index), uint32_t(index >> 32), a, b}, key());
  }
  uint32_t bits(uint64_t index) const noexcept { return block(index / 4)[index % 4]; }
  uint64_t bits64(uint64_t index) const noexcept {
    const auto w = block(index / 2);
    return index % 2 ? (uint64_t(w[2]) << 32 | w[3]) : (uint64_t(w[0]) << 32 | w[1]);
  }
  // Uniform in [0, 1) with 53 bits.
  double uniform(uint64_t index) const noexcept { return double(bits64(index) >> 11) * 0x1p-53; }
  // Standard normal (Box-Muller), one number an index.
  float normal(uint64_t index) const noexcept;
};

}  // namespace tw
