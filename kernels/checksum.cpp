#include "kernels/checksum.h"

#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work_of(const Checksum& op) { return {.bytes = double(op.x.bytes() + op.sum.bytes()), .streamed = true}; }

}  // namespace

void checksum(const Checksum& op, const Stream& stream) {
  check_view("checksum", "sum", op.sum, {1}, DType::i64);
  TW_CHECK(op.x.bytes() % 4 == 0, bug, "[checksum] {} bytes are no multiple of 4", op.x.bytes());
  TW_DISPATCH(checksum, op, stream);
}

}  // namespace tw
