// Rows that hold several documents, one behind the other.
#pragma once
#include <cstdint>

#include "kernels/cpu/vector.h"
#include "src/core/error.h"

TW_SIMD_BEGIN

// use(begin, end) for each document of a row of `length` positions, in order. starts[t] is where the document of
// position t begins; nullptr = one document. Error(bug) where it is no such list.
template <class Use>
TW_INLINE void for_documents(const int32_t* starts, int64_t length, Use use) {
  for (int64_t begin = 0, end = length; begin < length; begin = end) {
    if (starts) {
      TW_CHECK(starts[begin] == begin, bug, "the document of position {} begins at {}", begin, starts[begin]);
      for (end = begin + 1; end < length && starts[end] == begin;) ++end;
    }
    use(begin, end);
  }
}

TW_SIMD_END
