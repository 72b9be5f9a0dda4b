// From files to tokens and back: which tokens came from a file, and which samples of a run held them.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "src/data/batches.h"

namespace tw {

// A file by its path (relative to the scanned folder, or longer), or by its SHA-256.
struct SourceQuery {
  std::string path, sha256;  // "" = not asked for
  std::vector<std::string> within = {};  // paths of documents that the file is a part of
  bool matches(const Document& document) const;
};
// `text` is a SHA-256, or a path; what lies at the path is looked up by its content too.
SourceQuery source_query(const std::string& text);

// Documents of `file` that the query matches, as indices.
std::vector<size_t> documents_from(const TokenFile& file, const SourceQuery& query);

// Tokens [first, first + tokens) of file number `file` of a run.
struct TokenSpan {
  size_t file = 0;
  int64_t first = 0, tokens = 0;
};
struct SpanUses {
  int64_t samples = 0;         // that hold a token of it
  int64_t tokens = 0;          // of it in all of them: divided by the span's, how often it was seen
  std::vector<int64_t> steps;  // from 1, rising: each that saw it
};
// Over the first `steps` steps of `step_samples` samples; asks for every sample, some 10^7 a second. Error(data) for
// more than 10^10 of them.
std::vector<SpanUses> uses_of(const Batches& batches, int64_t seq_len, int64_t steps, int64_t step_samples,
                              std::span<const TokenSpan> spans);

}  // namespace tw
