#include "src/generate/recitation.h"

#include <algorithm>

namespace tw {
namespace {

// Starts of passages of `length` tokens, each inside one document, about evenly over the tokens that can be tested.
std::vector<RecitedPassage> spread(const TokenFile& file, int64_t count, int64_t length) {
  std::vector<RecitedPassage> all;
  int64_t places = 0;  // how many passages fit
  for (const Document& d : file.documents()) places += d.tokens / length;
  if (places == 0) return all;
  count = std::min(count, places);
  int64_t place = 0, taken = 0;
  for (size_t d = 0; d < file.documents().size() && taken < count; ++d) {
    const Document& document = file.documents()[d];
    for (int64_t k = 0; k < document.tokens / length && taken < count; ++k, ++place) {
      // The middle of each of `count` equal ranges of places.
      if (place < (2 * taken + 1) * places / (2 * count)) continue;
      all.push_back({int64_t(d), document.first_token + k * length});
      ++taken;
    }
  }
  return all;
}

}  // namespace

Recitation test_recitation(Generator& generator, const TokenFile& file, const RecitationOptions& options) {
  Recitation r;
  const int64_t length = options.prompt_tokens + options.continuation_tokens;
  std::vector<int32_t> ids(static_cast<size_t>(length));
  double matched = 0;
  for (const RecitedPassage& passage : spread(file, options.passages, length)) {
    for (int64_t i = 0; i < length; ++i) ids[size_t(i)] = file[passage.first_token + i];
    const Tensor logits = generator.logits(ids);
    const int64_t V = logits.shape()[1];
    int64_t equal = 0;
    for (; equal < options.continuation_tokens; ++equal) {
      const int64_t at = options.prompt_tokens + equal;
      const float* row = logits.as<float>() + (at - 1) * V;
      if (std::max_element(row, row + V) - row != ids[size_t(at)]) break;
    }
    ++r.tested;
    matched += double(equal) / double(options.continuation_tokens);
    if (equal == options.continuation_tokens) ++r.recited, r.passages.push_back(passage);
  }
  r.mean_match = r.tested ? matched / double(r.tested) : 0;
  return r;
}

}  // namespace tw
