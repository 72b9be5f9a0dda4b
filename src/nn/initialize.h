// Start weights, a function of the seed and the parameter's place alone.
#pragma once
#include "src/nn/parameters.h"

namespace tw {

// Elements [first, first + weights.count()) of the flat array (fp32, host; first a multiple of kParameterBlock), zero where
// no parameter lies. Residual outputs get sigma / sqrt(2 L) (Radford et al. 2019, GPT-2, section 2.3). Rows of the
// padded vocabulary beyond vocab_size are zero.
void initialize_weights(const ModelConfig& model, const ParameterTable& table, uint64_t seed, int64_t first, View weights,
                        const Stream& stream);

}  // namespace tw
