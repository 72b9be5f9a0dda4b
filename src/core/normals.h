// Normally distributed numbers, many at a time.
#pragma once
#include <cstdint>

#include "src/core/rng.h"

namespace tw {

// out[i] = sigma times the standard normal `first + i` of the stream, in single precision: Box & Muller 1958, both numbers
// of a pair, four of a block of Philox. `first` is a multiple of 4. Not the numbers of Rng::normal.
void fill_normals(const Rng& rng, float sigma, int64_t first, int64_t count, float* out);

namespace scalar {
// The same with the C library's functions: what fill_normals is tested against, and runs where there is no FMA.
void fill_normals(const Rng& rng, float sigma, int64_t first, int64_t count, float* out);
}  // namespace scalar

}  // namespace tw
