#include "src/nn/vocabulary_growth.h"

#include <algorithm>
#include <vector>

#include "src/core/error.h"

namespace tw {

GrownModel grow_vocabulary(const ModelConfig& model, ConstView weights, int64_t vocab_size) {
  TW_CHECK(vocab_size >= model.vocab_size, bug, "a vocabulary of {} grows to {}", model.vocab_size, vocab_size);
  ModelConfig larger = model;
  larger.vocab_size = vocab_size;
  const ParameterTable before(model), after(larger);
  GrownModel grown{larger, Tensor({after.flat_count()}, DType::fp32)};
  float* out = grown.weights.as<float>();
  std::fill_n(out, after.flat_count(), 0.0f);
  for (const ParameterInfo& from : before.all()) {
    const ParameterInfo& to = after[from.name];
    const float* values = weights.as<float>() + from.offset;
    if (from.name != "tokens.weight" && from.name != "head.weight") {
      std::copy_n(values, from.count(), out + to.offset);
      continue;
    }
    const int64_t C = model.hidden_size;
    std::copy_n(values, model.vocab_size * C, out + to.offset);
    std::vector<double> mean(size_t(C), 0.0);
    for (int64_t i = 0; i < model.vocab_size * C; ++i) mean[size_t(i % C)] += double(values[i]);
    for (int64_t row = model.vocab_size; row < vocab_size; ++row)
      for (int64_t c = 0; c < C; ++c) out[to.offset + row * C + c] = float(mean[size_t(c)] / double(model.vocab_size));
  }
  return grown;
}

}  // namespace tw
