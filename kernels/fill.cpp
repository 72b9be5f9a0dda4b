#include "kernels/fill.h"

#include "kernels/dispatch.h"

namespace tw {

void zero(const Zero& op, const Stream& stream) { TW_DISPATCH(zero, op, stream); }

}  // namespace tw
