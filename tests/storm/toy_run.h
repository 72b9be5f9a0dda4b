// What storm_writer saves and power_loss compares.
#pragma once
#include <cstdint>

namespace tw::storm {
inline constexpr int kToyKept = 2;
inline constexpr int64_t kToyElements = 1501;  // of the largest tensor
}  // namespace tw::storm
