#include "src/core/dtype.h"

#include <array>

#include "src/core/error.h"

namespace tw {
namespace {
struct Row {
  DType dtype;
  std::string_view name;
  size_t size;
};
constexpr std::array<Row, 11> kTable = {{{DType::fp32, "fp32", 4},
                                         {DType::bf16, "bf16", 2},
                                         {DType::fp16, "fp16", 2},
                                         {DType::fp8_e4m3, "fp8_e4m3", 1},
                                         {DType::fp8_e5m2, "fp8_e5m2", 1},
                                         {DType::fp64, "fp64", 8},
                                         {DType::i32, "i32", 4},
                                         {DType::i64, "i64", 8},
                                         {DType::u16, "u16", 2},
                                         {DType::u8, "u8", 1},
                                         {DType::i8, "i8", 1}}};
}  // namespace

size_t size_of(DType dtype) noexcept { return kTable[size_t(dtype)].size; }
std::string_view name_of(DType dtype) noexcept { return kTable[size_t(dtype)].name; }

DType dtype_named(std::string_view name) {
  for (const Row& row : kTable)
    if (row.name == name) return row.dtype;
  TW_FAIL(config, "unknown data type '{}': known are fp32, bf16, fp16, fp8_e4m3, fp8_e5m2", name);
}

fp16::fp16(float value) noexcept {
  const uint32_t u = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
  if (magnitude >= 0x7f800000u) {  // Inf, NaN
    bits = uint16_t(sign | 0x7c00u | (magnitude > 0x7f800000u ? 0x200u : 0u));
  } else if (magnitude >= 0x477ff000u) {  // rounds to at least 65536
    bits = uint16_t(sign | 0x7c00u);
  } else if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 lines the bits up and rounds
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    bits = uint16_t(sign | (std::bit_cast<uint32_t>(sum) - 0x3f000000u));
  } else {
    const uint32_t rounded = magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u);
    bits = uint16_t(sign | (rounded >> 13));
  }
}

fp16::operator float() const noexcept {
  const uint32_t sign = uint32_t(bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u,
                 mantissa = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = float(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

}  // namespace tw
