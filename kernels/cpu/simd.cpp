#include "kernels/cpu/simd.h"

#include <algorithm>

namespace tw::cpu {
namespace {
SimdLevel detect() noexcept {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // libgcc also asks the operating system whether it saves the wide registers.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return SimdLevel::v4;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c")) {
    return SimdLevel::v3;
  }
#endif
  return SimdLevel::v1;
}

SimdLevel& level() noexcept {
  static SimdLevel value = detect();
  return value;
}
}  // namespace

SimdLevel best_simd_level() noexcept {
  static const SimdLevel best = detect();
  return best;
}
SimdLevel simd_level() noexcept { return level(); }
bool has_bf16_products() noexcept {
#if defined(__x86_64__)
  static const bool supported = (__builtin_cpu_init(), __builtin_cpu_supports("avx512bf16"));
  return supported && level() == SimdLevel::v4;
#else
  return false;
#endif
}
void limit_simd_level(SimdLevel wanted) noexcept { level() = std::min(wanted, best_simd_level()); }

}  // namespace tw::cpu
