#include "comm/accumulate.h"

#include <type_traits>

namespace tw {
namespace {

template <class T>
T combined(T a, T b, ReduceOp op) {
  if (op == ReduceOp::sum) {
    // Unsigned, because signed overflow is undefined.
    if constexpr (std::is_integral_v<T>) return T(std::make_unsigned_t<T>(a) + std::make_unsigned_t<T>(b));
    else return a + b;
  }
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a) return a;
    if (b != b) return b;
  }
  return (op == ReduceOp::max ? a < b : b < a) ? b : a;
}

template <class T>
void accumulate_as(View into, ConstView from, ReduceOp op) {
  T* a = into.as<T>();
  const T* b = from.as<T>();
  const int64_t n = into.count();
  if (op == ReduceOp::sum) {
    for (int64_t i = 0; i < n; ++i) a[i] = combined(a[i], b[i], ReduceOp::sum);
  } else {
    for (int64_t i = 0; i < n; ++i) a[i] = combined(a[i], b[i], op);
  }
}

}  // namespace

void accumulate(View into, ConstView from, ReduceOp op) {
  TW_CHECK(into.dtype == from.dtype && into.count() == from.count(), bug,
           "accumulate: {} {} cannot take {} {}", name_of(into.dtype), into.shape.str(), name_of(from.dtype),
           from.shape.str());
  switch (into.dtype) {
    case DType::fp32: return accumulate_as<float>(into, from, op);
    case DType::fp64: return accumulate_as<double>(into, from, op);
    case DType::i32: return accumulate_as<int32_t>(into, from, op);
    case DType::i64: return accumulate_as<int64_t>(into, from, op);
    default: TW_FAIL(bug, "accumulate: {} cannot be reduced", name_of(into.dtype));
  }
}

}  // namespace tw
