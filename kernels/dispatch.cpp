#include "kernels/dispatch.h"

namespace tw {

void check_view(const char* op, const char* argument, const ConstView& view, Shape want, DType dtype) {
  TW_CHECK(view.data || want.count() == 0, bug, "[{}] {} was not given", op, argument);
  TW_CHECK(view.shape == want && view.dtype == dtype, bug, "[{}] {}: want {} {}, got {} {}", op, argument,
           want.str(), name_of(dtype), view.shape.str(), name_of(view.dtype));
}

void check_dtype(const char* op, const char* argument, const ConstView& view, std::initializer_list<DType> allowed) {
  std::string names;
  for (DType d : allowed) {
    if (view.dtype == d) return;
    names += (names.empty() ? "" : " or ") + std::string(name_of(d));
  }
  TW_FAIL(bug, "[{}] {}: want {}, got {}", op, argument, names, name_of(view.dtype));
}

void check_rank(const char* op, const char* argument, const ConstView& view, int rank) {
  TW_CHECK(view.rank() == rank, bug, "[{}] {}: want rank {}, got {}", op, argument, rank, view.shape.str());
}

}  // namespace tw
