#include "kernels/checksum.h"

#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work_of(const Checksum& op) { return {.bytes = double(op.x.bytes() + op.sums.bytes()), .streamed = true}; }

}  // namespace

void checksum(const Checksum& op, const Stream& stream) {
  check_rank("checksum", "sums", op.sums, 1);
  const int64_t parts = op.sums.dim(0);
  check_view("checksum", "sums", op.sums, {parts}, DType::i64);
  TW_CHECK(parts > 0 && int64_t(op.x.bytes()) % (4 * parts) == 0, bug, "[checksum] {} bytes are no {} parts of whole words", op.x.bytes(), parts);
  TW_DISPATCH(checksum, op, stream);
}

}  // namespace tw
