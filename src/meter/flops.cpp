#include "src/meter/flops.h"

namespace tw {

double flops_per_token(const FlopsOfModel& m) {
  const double n = double(m.parameters) - (m.tied ? 0 : double(m.input_embedding));
  return (m.adapters > 0 ? 4 * n + 6 * double(m.adapters) : 6 * n) + 12 * double(m.layers) * double(m.attention_size) * double(m.seq_len);
}

}  // namespace tw
