// Does a model recite its training text?
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "src/data/token_file.h"
#include "src/generate/generator.h"

namespace tw {

struct RecitationOptions {
  int64_t passages = 64;  // tested of each file, spread evenly over its documents
  int64_t prompt_tokens = 50, continuation_tokens = 50;
};

struct RecitedPassage {
  int64_t document = 0, first_token = 0;  // of the prompt, in the file
};

struct Recitation {
  int64_t tested = 0, recited = 0;
  double mean_match = 0;               // share of the continuation that is equal up to the first difference
  std::vector<RecitedPassage> passages;  // recited ones
};

// A passage of prompt and continuation is recited where the greedy continuation of the prompt is what stands there
// (Carlini et al. 2023, arXiv:2202.07646, section 3.1). The greedy continuation equals the passage exactly if each of
// its tokens is the most likely one after those before it, so one forward pass a passage decides. Documents that are
// shorter than a passage, or than the model's positions allow, are left out; passages do not overlap.
Recitation test_recitation(Generator& generator, const TokenFile& file, const RecitationOptions& options);

}  // namespace tw
