// sum = sum_i mix(w_i, i) mod 2^64 over the 32-bit words w_i of x, mix = the finaliser of SplitMix64 (Steele, Lea & Flood 2014,
// "Fast splittable pseudorandom number generators", figure 16) of word and place. Integers have no order of addition: the same number
// on every device and any number of threads. Finds damage, not forgery.
#pragma once
#include "src/core/tensor.h"

namespace tw {

struct Checksum {
  ConstView x;  // any dtype, a multiple of 4 bytes
  View sum;     // (1) i64, overwritten
};
void checksum(const Checksum& op, const Stream& stream);

// constexpr, so that GPUs may call it too.
constexpr uint64_t checksum_mix(uint32_t word, uint64_t place) noexcept {
  uint64_t z = (place + 1) * 0x9E3779B97F4A7C15u ^ (uint64_t(word) << 17 | word);
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

namespace cpu { void checksum(const Checksum& op, const Stream& stream); }
namespace cuda { void checksum(const Checksum& op, const Stream& stream); }

}  // namespace tw
