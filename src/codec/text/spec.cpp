#include "src/codec/text/spec.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "src/core/error.h"
#include "src/core/utf8.h"

namespace tw {

void fill_merges_by_rank(TokenizerSpec& spec, const std::vector<uint32_t>& rank, const std::string& file) {
  const bool characters = spec.units == TokenizerSpec::Units::characters;
  std::unordered_map<std::string_view, int32_t> symbol_of;
  symbol_of.reserve(spec.tokens.size() * 2);
  uint64_t work = 0;
  for (int32_t id = 0; id < spec.size(); ++id) {
    if (rank[size_t(id)] == MergeTable::kNone) continue;
    const std::string& token = spec.tokens[size_t(id)];
    TW_CHECK(token.size() <= kMaxTokenBytes, data, "{}: token {} is {} bytes long, at most {} are allowed", file, id,
             token.size(), kMaxTokenBytes);
    work += token.size() * token.size();
    TW_CHECK(symbol_of.emplace(token, id).second, data, "{}: token {} is the same as token {}", file, id,
             symbol_of[token]);
  }
  TW_CHECK(work < uint64_t(1) << 30, data, "{}: its tokens are far longer than those of a vocabulary", file);
  const auto char_bytes = [](std::string_view text, size_t i) -> size_t {
    return size_t(std::max(1, utf8_length(text.data() + i, text.size() - i)));
  };
  if (characters) {
    for (size_t id = 0; id < spec.tokens.size(); ++id) {
      if (rank[id] == MergeTable::kNone) continue;
      const std::string_view token = spec.tokens[id];
      TW_CHECK(is_utf8(token), data, "{}: token {} is not valid UTF-8", file, id);
      for (size_t i = 0, n; i < token.size(); i += n) {
        n = char_bytes(token, i);
        const auto [it, fresh] = symbol_of.emplace(token.substr(i, n), int32_t(spec.tokens.size() + spec.extra_characters.size()));
        if (!fresh) continue;
        char32_t code = 0;
        decode_utf8(token.substr(i), code);
        spec.extra_characters.push_back(code);
      }
    }
  }
  for (int32_t id = 0; id < spec.size(); ++id) {
    if (rank[size_t(id)] == MergeTable::kNone) continue;
    const std::string_view token = spec.tokens[size_t(id)];
    for (size_t cut = 0;;) {
      cut += characters ? char_bytes(token, cut) : 1;
      if (cut >= token.size()) break;
      const auto left = symbol_of.find(token.substr(0, cut));
      if (left == symbol_of.end()) continue;
      const auto right = symbol_of.find(token.substr(cut));
      if (right != symbol_of.end()) spec.merges.push_back({left->second, right->second, id, rank[size_t(id)]});
    }
  }
}

std::vector<Merge> ordered_merges(const TokenizerSpec& spec) {
  std::vector<Merge> merges = spec.merges;
  std::sort(merges.begin(), merges.end(), [&](const Merge& a, const Merge& b) {
    if (a.rank != b.rank) return a.rank < b.rank;
    const size_t long_a = spec.tokens[size_t(a.result)].size(), long_b = spec.tokens[size_t(b.result)].size();
    if (long_a != long_b) return long_a > long_b;
    return std::tie(a.result, a.left, a.right) < std::tie(b.result, b.left, b.right);
  });
  return merges;
}

bool ties_are_runs(const TokenizerSpec& spec) {
  const std::vector<Merge> merges = ordered_merges(spec);
  // The character a token repeats, "" where there are several.
  const auto repeated = [&](const Merge& m) -> std::string_view {
    const std::string_view token = spec.tokens[size_t(m.result)];
    const size_t n = size_t(std::max(1, utf8_length(token.data(), token.size())));
    for (size_t i = n; i < token.size(); i += n)
      if (token.substr(i, n) != token.substr(0, n)) return {};
    return token.substr(0, n);
  };
  for (size_t i = 1; i < merges.size(); ++i) {
    const Merge &a = merges[i - 1], &b = merges[i];
    if (a.rank != b.rank || a.result == b.result) continue;
    if (repeated(a).empty() || repeated(a) != repeated(b)) return false;
  }
  return true;
}

}  // namespace tw
