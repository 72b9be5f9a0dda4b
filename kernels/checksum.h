// sums[j] = sum_i w_i f(first + i) mod 2^64 over the 32-bit words w_i of the j-th of `parts` equal ranges of x, where
// f(place) = 2 place + 1 mod 2^32 and i counts on through the parts, or begins again in each where they lie at one place. The
// factor is odd, so one damaged word always changes the sum, and several miss it with a chance of about 2^-64. The sum of a whole is
// that of its parts, which is how slices of many ranks are compared; integers have no order of addition, so it is the same on every device
// and any number of threads. Finds damage, not forgery.
#pragma once
#include "src/core/tensor.h"

namespace tw {

struct Checksum {
  ConstView x;            // any dtype; each part a multiple of 4 bytes
  View sums;              // (parts) i64, overwritten
  int64_t first = 0;      // place of the first word
  bool one_place = false; // parts are at the same places: what several ranks hold of one slice
};
void checksum(const Checksum& op, const Stream& stream);

// Of checksums on the host, modulo 2^64: that of all they are of, where their words lie at places of their own.
template <class Sums>
int64_t checksum_total(const Sums& sums) {
  uint64_t all = 0;
  for (const int64_t sum : sums) all += uint64_t(sum);
  return int64_t(all);
}

// constexpr, so that GPUs may call it too.
constexpr uint64_t checksum_term(uint32_t word, uint64_t place) noexcept { return uint64_t(word) * uint32_t(2 * place + 1); }

namespace cpu { void checksum(const Checksum& op, const Stream& stream); }
namespace cuda { void checksum(const Checksum& op, const Stream& stream); }

}  // namespace tw
