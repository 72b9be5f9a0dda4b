// One kernel source, compiled once per instruction set; the best one is chosen at run time.
//
// How to add a CPU kernel file kernels/cpu/foo.cpp:
//   #include "kernels/foo.h"           // all other includes come before TW_SIMD_BEGIN
//   #include "kernels/cpu/vector.h"    // optional: Vf, load, store, exp, ... (includes this header)
//   TW_SIMD_BEGIN                      // opens namespace tw::cpu::v1, v3 or v4
//   namespace { ...kernels... }
//   void foo(const Foo& op, const Stream& stream) { ... }
//   TW_SIMD_END
//   TW_SIMD_EXPORT(foo, Foo)           // defines tw::cpu::foo, which calls the chosen version
// and list the file in tw_cpu_kernels(...) of kernels/CMakeLists.txt; if rounding to bf16 is much of the work,
// in the list for AVX512_BF16 too, with TW_SIMD_EXPORT_BF16. Plain loops over float and
// bf16 are vectorised by the compiler (-O3) for each level.
//
// The target is set by a pragma between BEGIN and END and not by -march, because an inline function
// of a shared header, compiled with -march, could be kept by the linker as the only copy and then
// fail on an older CPU. For the same reason do not test __AVX2__ and the like; test TW_SIMD_LEVEL
// (1, 3 or 4). A file in tw_cpu_kernels_bf16 too is compiled once more with TW_SIMD_BF16. Levels are those of the x86-64 psABI: v1 = SSE2, v3 = AVX2 + FMA, v4 = AVX-512.
// The same machine always runs the same level, so bits repeat; between levels they may differ.
#pragma once

namespace tw::cpu {

enum class SimdLevel { v1 = 1, v3 = 3, v4 = 4 };

// The level in use: the best this CPU has, or less after limit_simd_level.
SimdLevel simd_level() noexcept;
SimdLevel best_simd_level() noexcept;
// Whether the level in use is v4 and the CPU multiplies pairs of bf16 (AVX512_BF16).
bool has_bf16_products() noexcept;
// Tests force a lower level; a level above the CPU's is lowered to it. Not while ops run.
void limit_simd_level(SimdLevel level) noexcept;

}  // namespace tw::cpu

#ifndef TW_SIMD_LEVEL
#define TW_SIMD_LEVEL 1
#endif

#if TW_SIMD_LEVEL == 4 && defined(TW_SIMD_BF16)  // v4 and AVX512_BF16
#define TW_SIMD_NAMESPACE v4_bf16
#define TW_SIMD_TARGET                                                                                         \
  _Pragma("GCC target(\"avx2,fma,f16c,bmi,bmi2,lzcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16\")")
#elif TW_SIMD_LEVEL == 4
#define TW_SIMD_NAMESPACE v4
#define TW_SIMD_TARGET \
  _Pragma("GCC target(\"avx2,fma,f16c,bmi,bmi2,lzcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl\")")
#elif TW_SIMD_LEVEL == 3
#define TW_SIMD_NAMESPACE v3
#define TW_SIMD_TARGET _Pragma("GCC target(\"avx2,fma,f16c,bmi,bmi2,lzcnt\")")
#else
#define TW_SIMD_NAMESPACE v1
#define TW_SIMD_TARGET
#endif

#define TW_SIMD_BEGIN               \
  _Pragma("GCC push_options")       \
  TW_SIMD_TARGET                    \
  namespace tw::cpu::TW_SIMD_NAMESPACE {
#define TW_SIMD_END \
  }                 \
  _Pragma("GCC pop_options")

// Only the v1 compilation holds the switch. TW_SIMD_EXPORT_BF16 is of files that are compiled for AVX512_BF16 too.
#if TW_SIMD_LEVEL != 1
#define TW_SIMD_EXPORT(function, Op)
#define TW_SIMD_EXPORT_BF16(function, Op)
#elif defined(__x86_64__)
#define TW_SIMD_EXPORT_V4(function, Op, v4_version)             \
  namespace tw::cpu {                                           \
  namespace v3 { void function(const Op&, const Stream&); }     \
  namespace v4 { void function(const Op&, const Stream&); }     \
  void function(const Op& op, const Stream& stream) {           \
    switch (simd_level()) {                                     \
      case SimdLevel::v4: return v4_version(op, stream);        \
      case SimdLevel::v3: return v3::function(op, stream);      \
      case SimdLevel::v1: return v1::function(op, stream);      \
    }                                                           \
  }                                                             \
  }
#define TW_SIMD_EXPORT(function, Op) TW_SIMD_EXPORT_V4(function, Op, v4::function)
#define TW_SIMD_EXPORT_BF16(function, Op)                                      \
  namespace tw::cpu::v4_bf16 { void function(const Op&, const Stream&); }      \
  TW_SIMD_EXPORT_V4(function, Op, (has_bf16_products() ? v4_bf16::function : v4::function))
#else
#define TW_SIMD_EXPORT(function, Op)                                                         \
  namespace tw::cpu {                                                                        \
  void function(const Op& op, const Stream& stream) { v1::function(op, stream); }            \
  }
#define TW_SIMD_EXPORT_BF16(function, Op) TW_SIMD_EXPORT(function, Op)
#endif
