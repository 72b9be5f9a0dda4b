// What products of few rows with weights share, whatever the weights are: kLanes weight rows at a time, whose sums over
// lanes are added up together.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/fold.h"

TW_SIMD_BEGIN

// For weight rows [begin, end), in groups of kLanes: dots(row, r, lanes) for the r-th of a group, where the sum of lanes[m]
// is x[m,:] . w[row,:]; then for the group put(m, row, r, sum).
template <int M, class Dots, class Put>
TW_INLINE void for_weight_rows(int64_t begin, int64_t end, Dots dots, Put put) {
  Vf lanes[M], rows[M][kLanes];
  float sums[kLanes];
  for (int64_t n = begin; n < end; n += kLanes) {
    const int64_t count = std::min<int64_t>(kLanes, end - n);
    for (int64_t r = 0; r < count; ++r) {
      dots(n + r, r, lanes);
      for (int m = 0; m < M; ++m) rows[m][r] = lanes[m];
    }
    for (int m = 0; m < M; ++m) {
      for (int64_t r = count; r < kLanes; ++r) rows[m][r] = Vf{};
      fold(rows[m]);
      store(sums, rows[m][0]);
      for (int64_t r = 0; r < count; ++r) put(m, n + r, r, sums[r]);
    }
  }
}

// call(std::integral_constant<int, M>) for M of 1 to kFewRows.
template <class Call>
TW_INLINE void with_rows(int64_t M, Call call) {
  switch (M) {
    case 1: return call(std::integral_constant<int, 1>{});
    case 2: return call(std::integral_constant<int, 2>{});
    case 3: return call(std::integral_constant<int, 3>{});
    case 4: return call(std::integral_constant<int, 4>{});
    case 5: return call(std::integral_constant<int, 5>{});
    case 6: return call(std::integral_constant<int, 6>{});
    case 7: return call(std::integral_constant<int, 7>{});
    default: return call(std::integral_constant<int, 8>{});
  }
}

TW_SIMD_END
