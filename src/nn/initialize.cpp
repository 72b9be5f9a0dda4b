#include "src/nn/initialize.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "src/core/rng.h"
#include "src/core/thread_team.h"

namespace tw {
namespace {

// Four standard normals from one Philox block (Box-Muller, both branches).
void normal4(const Rng& rng, uint64_t block, float out[4]) {
  const auto w = rng.block(block);
  for (size_t pair = 0; pair < 2; ++pair) {
    const float u = (float(w[2 * pair] >> 8) + 0.5f) * 0x1p-24f, v = float(w[2 * pair + 1]) * 0x1p-32f;
    const float r = std::sqrt(-2 * std::log(u)), angle = 2 * std::numbers::pi_v<float> * v;
    out[2 * pair] = r * std::cos(angle);
    out[2 * pair + 1] = r * std::sin(angle);
  }
}

}  // namespace

void initialize_weights(const ModelConfig& model, const ParameterTable& table, uint64_t seed, View weights,
                        const Stream& stream) {
  float* flat = weights.as<float>();
  uint32_t index = 0;
  for (const ParameterInfo& p : table.all()) {
    const Rng rng{seed, RngStream::init, index++, 0};
    float* w = flat + p.offset;
    const int64_t n = p.count();
    if (p.init == Init::zero || p.init == Init::one) {
      std::fill(w, w + n, p.init == Init::one ? 1.0f : 0.0f);
      continue;
    }
    const float sigma = float(p.init == Init::scaled_normal
                                  ? model.initializer_range / std::sqrt(2.0 * double(model.num_hidden_layers))
                                  : model.initializer_range);
    parallel_blocks(stream, (n + 3) / 4, 4096, [&](int64_t begin, int64_t end, int) {
      for (int64_t b = begin; b < end; ++b) {
        float x[4];
        normal4(rng, uint64_t(b), x);
        for (int64_t i = 4 * b; i < std::min(4 * b + 4, n); ++i) w[i] = sigma * x[i - 4 * b];
      }
    });
    const bool vocabulary = p.name == "tokens.weight" || p.name == "head.weight";
    if (vocabulary) std::fill(w + model.vocab_size * model.hidden_size, w + n, 0.0f);
  }
}

}  // namespace tw
