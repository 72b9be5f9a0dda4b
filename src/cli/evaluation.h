// What `eval` measures, and how it is shown.
#pragma once
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "src/cli/model_at_work.h"
#include "src/core/thread_team.h"
#include "src/train/evaluate.h"

namespace tw {

// A split, or what of it is of one domain.
struct EvaluatedPart {
  std::string name;
  int64_t documents = 0, tokens = 0, bytes = 0;  // tokens: scored
  double loss = 0, perplexity = 0;               // nats a token
  double bits_per_byte = 0;                      // NaN where the bytes are not known
  std::vector<std::pair<std::string, double>> baselines;  // name, bits per byte
  std::vector<size_t> members;                   // documents of the file
};

struct EvaluatedSplit {
  std::shared_ptr<const TokenFile> file;
  EvaluatedPart all;
  std::vector<EvaluatedPart> domains;  // none where there is but one
};

// Domains of documents, the same for all files: text and each codec's kind (by the tokenizer's markers, where there is one); else by
// their paths, their folder, below what all paths begin with; else their
// language; else the ending of their names. The first of these that tells documents apart is taken. At most 40: the
// smallest become "others". language: of a path, "" = not known.
std::vector<std::vector<std::string>> domains_of(const std::vector<std::shared_ptr<const TokenFile>>& files, const TextTokenizer* tokenizer,
                                                 const std::function<std::string(const std::string&)>& language);

// Scores all files. Collective.
std::vector<EvaluatedSplit> evaluate_files(const ModelAtWork& m, const std::vector<std::pair<std::string, std::shared_ptr<const TokenFile>>>& files,
                                           const std::vector<std::vector<std::string>>& domains, const Config& config, Communicator& world,
                                           const Stream& stream);

// Compressors and n-grams on the same text. training: what the n-grams learn from (at most its first 256 MiB); null =
// there are none.
void add_baselines(const TextTokenizer& tokenizer, const TokenFile* training, std::vector<EvaluatedSplit>& splits, ThreadTeam& team, bool show);

nlohmann::json to_json(const EvaluatedSplit& split);
std::string evaluation_table(const std::vector<EvaluatedSplit>& splits);

}  // namespace tw
