// Time. Nothing but displays uses the wall clock: it can jump.
#pragma once
#include <chrono>
#include <string>

namespace tw {
inline double now_seconds() noexcept {  // monotonic
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
// Seconds since this process was started (from the kernel's record, so loading is counted).
double process_age_seconds() noexcept;
double unix_seconds() noexcept;      // wall clock, for time stamps only
std::string iso_time(double unix_s); // "2026-11-24T14:03:07Z"
}  // namespace tw
