#include "kernels/fill.h"

#include <cstring>

#include "src/core/thread_team.h"

namespace tw {

void cpu::zero(const Zero& op, const Stream& stream) {
  char* x = static_cast<char*>(op.x.data);
  parallel_blocks(stream, int64_t(op.x.bytes()), int64_t(1) << 20,
                  [&](int64_t begin, int64_t end, int) { std::memset(x + begin, 0, size_t(end - begin)); });
}

}  // namespace tw
