#include "src/nn/initialize.h"

#include <algorithm>
#include <cmath>

#include "kernels/optimizer.h"
#include "src/core/normals.h"
#include "src/core/thread_team.h"

namespace tw {
namespace {

constexpr int64_t kGrain = 64 * kParameterBlock;

// Elements [begin, end) of parameter number `index`; begin is a multiple of 4.
void fill_parameter(const ModelConfig& model, const ParameterInfo& p, const Rng& rng, int64_t begin, int64_t end, float* out) {
  if (p.init == Init::zero || p.init == Init::one) {
    std::fill(out, out + (end - begin), p.init == Init::one ? 1.0f : 0.0f);
    return;
  }
  const bool vocabulary = p.name == "tokens.weight" || p.name == "head.weight";
  const int64_t random = vocabulary ? std::clamp(model.vocab_size * model.hidden_size, begin, end) : end;
  const float sigma = float(p.init == Init::scaled_normal ? model.initializer_range / std::sqrt(2.0 * double(model.num_hidden_layers))
                            : p.init == Init::inner       ? 1 / std::sqrt(3.0 * double(p.shape[1]))
                                                          : model.initializer_range);
  fill_normals(rng, sigma, begin, random - begin, out);
  std::fill(out + (random - begin), out + (end - begin), 0.0f);
}

}  // namespace

void initialize_weights(const ModelConfig& model, const ParameterTable& table, uint64_t seed, int64_t first, View weights,
                        const Stream& stream) {
  float* flat = weights.as<float>();
  const std::vector<ParameterInfo>& all = table.all();
  parallel_blocks(stream, weights.count(), kGrain, [&](int64_t from, int64_t to, int) {
    // From one parameter to the next, and the gap behind each.
    const int64_t end = first + to;
    int64_t at = first + from;
    auto p = std::upper_bound(all.begin(), all.end(), at, [](int64_t place, const ParameterInfo& q) { return place < q.offset; }) - 1;
    for (; at < end; ++p) {
      const int64_t own = std::clamp(p->offset + p->count(), at, end), next = p + 1 == all.end() ? end : std::min(end, (p + 1)->offset);
      fill_parameter(model, *p, {seed, RngStream::init, uint32_t(p - all.begin()), 0}, at - p->offset, own - p->offset, flat + (at - first));
      std::fill(flat + (own - first), flat + (next - first), 0.0f);
      at = next;
    }
  });
}

}  // namespace tw
