#include "src/data/provenance.h"

#include <algorithm>
#include <filesystem>

#include "src/core/error.h"
#include "src/data/formats/encoding.h"

namespace tw {

bool SourceQuery::matches(const Document& document) const {
  if (!sha256.empty() && document.sha256 == sha256) return true;
  if (std::find(within.begin(), within.end(), document.path) != within.end()) return true;
  return !path.empty() && (document.path == path || path.ends_with("/" + document.path));
}

SourceQuery source_query(const std::string& text) {
  const bool digits = text.size() == 64 && text.find_first_not_of("0123456789abcdefABCDEF") == text.npos;
  std::string lower = text;
  for (char& c : lower)
    if (c >= 'A' && c <= 'F') c = char(c - 'A' + 'a');
  if (digits) return {"", lower};
  SourceQuery query{text, ""};
  std::error_code error;
  if (std::filesystem::is_regular_file(text, error)) query.sha256 = inspect_bytes(text).sha256;
  return query;
}

std::vector<size_t> documents_from(const TokenFile& file, const SourceQuery& query) {
  std::vector<size_t> found;
  for (size_t i = 0; i < file.documents().size(); ++i)
    if (query.matches(file.documents()[i])) found.push_back(i);
  return found;
}

std::vector<SpanUses> uses_of(const Batches& batches, int64_t seq_len, int64_t steps, int64_t step_samples,
                              std::span<const TokenSpan> spans) {
  constexpr int64_t kMost = int64_t(10'000'000'000);
  TW_CHECK(steps >= 0 && step_samples >= 1 && steps <= kMost / step_samples, data,
           "{} steps of {} samples are more than {}: too many to ask for", steps, step_samples, kMost);
  std::vector<SpanUses> uses(spans.size());
  if (spans.empty()) return uses;
  for (int64_t i = 0; i < steps * step_samples; ++i) {
    const Batches::Origin from = batches.origin(i);
    for (size_t s = 0; s < spans.size(); ++s) {
      const TokenSpan& span = spans[s];
      if (size_t(from.file) != span.file) continue;
      const int64_t held =
          std::min(span.first + span.tokens, from.first_token + seq_len + 1) - std::max(span.first, from.first_token);
      if (held <= 0) continue;
      ++uses[s].samples;
      uses[s].tokens += held;
      const int64_t step = i / step_samples + 1;
      if (uses[s].steps.empty() || uses[s].steps.back() != step) uses[s].steps.push_back(step);
    }
  }
  return uses;
}

}  // namespace tw
