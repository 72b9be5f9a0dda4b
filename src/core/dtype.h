// Element types. A dtype is a run-time value; kernels instantiate the ones they support.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tw {

enum class DType : uint8_t { fp32, bf16, fp16, fp8_e4m3, fp8_e5m2, fp64, i32, i64, u16, u8, i8 };

size_t size_of(DType dtype) noexcept;                // bytes of one element
std::string_view name_of(DType dtype) noexcept;      // "fp32", "bf16", ...
DType dtype_named(std::string_view name);            // throws Error(config) for an unknown name

// bfloat16: the upper half of an fp32, rounded to nearest even; NaN stays NaN.
struct bf16 {
  uint16_t bits = 0;
  bf16() = default;
  explicit bf16(float value) noexcept {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    bits = (u & 0x7fffffffu) > 0x7f800000u ? uint16_t((u >> 16) | 0x40u)
                                           : uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  explicit operator float() const noexcept { return std::bit_cast<float>(uint32_t(bits) << 16); }
};
static_assert(sizeof(bf16) == 2);

// IEEE binary16; conversions are exact or rounded to nearest even.
struct fp16 {
  uint16_t bits = 0;
  fp16() = default;
  explicit fp16(float value) noexcept;
  explicit operator float() const noexcept;
};

template <class T> struct DTypeOf;
template <> struct DTypeOf<float> { static constexpr DType value = DType::fp32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::fp64; };
template <> struct DTypeOf<bf16> { static constexpr DType value = DType::bf16; };
template <> struct DTypeOf<fp16> { static constexpr DType value = DType::fp16; };
template <> struct DTypeOf<int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<int64_t> { static constexpr DType value = DType::i64; };
template <> struct DTypeOf<uint16_t> { static constexpr DType value = DType::u16; };
template <> struct DTypeOf<int8_t> { static constexpr DType value = DType::i8; };
template <> struct DTypeOf<uint8_t> { static constexpr DType value = DType::u8; };

}  // namespace tw
