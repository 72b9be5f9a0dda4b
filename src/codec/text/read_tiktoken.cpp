#include <algorithm>
#include <array>
#include <charconv>

#include "src/codec/text/readers.h"
#include "src/core/error.h"

namespace tw {
namespace {

constexpr std::array<int8_t, 256> kBase64 = [] {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  int8_t n = 0;
  for (const char c : std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
    values[uint8_t(c)] = n++;
  return values;
}();

// RFC 4648 with padding; false where the text is not that.
bool decode_base64(std::string_view text, std::string& bytes) {
  bytes.clear();
  if (text.empty() || text.size() % 4) return false;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  text.remove_suffix(padding);
  uint32_t buffer = 0;
  int bits = 0;
  for (const char c : text) {
    const int8_t value = kBase64[uint8_t(c)];
    if (value < 0) return false;
    buffer = buffer << 6 | uint32_t(value);
    bits += 6;
    if (bits >= 8) bytes += char(buffer >> (bits -= 8) & 255);
  }
  return (buffer & ((1u << bits) - 1)) == 0;
}

struct Special {
  int32_t id;
  std::string text;
};

// tiktoken_ext/openai_public.py; llama_models/llama3/tokenizer.py.
std::vector<Special> special_tokens(size_t ranks) {
  if (ranks == 50256) return {{50256, "<|endoftext|>"}};
  if (ranks == 100256)
    return {{100257, "<|endoftext|>"}, {100258, "<|fim_prefix|>"}, {100259, "<|fim_middle|>"},
            {100260, "<|fim_suffix|>"}, {100276, "<|endofprompt|>"}};
  if (ranks != 128000) return {};
  std::vector<Special> all;
  int reserved = 0;
  for (int32_t i = 0; i < 256; ++i) {
    const char* name = i == 0   ? "<|begin_of_text|>"
                       : i == 1 ? "<|end_of_text|>"
                       : i == 6 ? "<|start_header_id|>"
                       : i == 7 ? "<|end_header_id|>"
                       : i == 9 ? "<|eot_id|>"
                                : nullptr;
    all.push_back({128000 + i, name ? name : fmt::format("<|reserved_special_token_{}|>", reserved++)});
  }
  return all;
}

SplitRule rule_of(size_t ranks, const std::string& file) {
  if (ranks == 50256) return SplitRule::gpt2;
  if (ranks == 100256) return SplitRule::cl100k;
  if (ranks == 128000) return SplitRule::llama3;
  TW_FAIL(data, "{} has {} ranks; a tiktoken file does not say how text is split, and only those of 50256 (GPT-2), "
          "100256 (cl100k_base) and 128000 (Llama 3) ranks are known. Name the rule, or use a tokenizer.json", file, ranks);
}

}  // namespace

TokenizerSpec read_tiktoken(std::string_view text, std::optional<SplitRule> rule, const std::string& file) {
  TokenizerSpec spec;
  std::string bytes;
  size_t ranks = 0, line_number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const size_t space = line.find(' ');
    int64_t rank = -1;
    bool good = space != line.npos && decode_base64(line.substr(0, space), bytes);
    if (good) {
      const auto [stop, error] = std::from_chars(line.data() + space + 1, line.data() + line.size(), rank);
      good = error == std::errc() && stop == line.data() + line.size();
    }
    TW_CHECK(good, data, "{}:{}: not \"base64 rank\", as each line of a tiktoken file is", file, line_number);
    TW_CHECK(rank >= 0 && rank < kMaxTokens, data, "{}:{}: rank {} is not in [0, {})", file, line_number, rank, kMaxTokens);
    // Else a few bytes would ask for millions of ids.
    TW_CHECK(size_t(rank) < text.size() + 1024, data, "{}:{}: rank {} in a file of {} bytes: it holds far fewer tokens",
             file, line_number, rank, text.size());
    TW_CHECK(bytes.size() <= kMaxTokenBytes, data, "{}:{}: a token of {} bytes, at most {} are allowed", file, line_number,
             bytes.size(), kMaxTokenBytes);
    if (size_t(rank) >= spec.tokens.size()) {
      spec.tokens.resize(size_t(rank) + 1);
      spec.kinds.resize(size_t(rank) + 1, TokenizerSpec::Kind::hole);
    }
    TW_CHECK(spec.kinds[size_t(rank)] == TokenizerSpec::Kind::hole, data, "{}:{}: rank {} is given twice", file, line_number,
             rank);
    spec.tokens[size_t(rank)] = bytes;
    spec.kinds[size_t(rank)] = TokenizerSpec::Kind::normal;
    ++ranks;
  }
  TW_CHECK(ranks > 0, data, "{} has no tokens", file);
  std::vector<uint32_t> rank_of(spec.tokens.size(), MergeTable::kNone);
  std::array<bool, 256> seen{};
  for (size_t id = 0; id < rank_of.size(); ++id) {
    if (spec.kinds[id] == TokenizerSpec::Kind::hole) continue;
    rank_of[id] = uint32_t(id);
    if (spec.tokens[id].size() == 1) seen[uint8_t(spec.tokens[id][0])] = true;
  }
  const auto missing = std::find(seen.begin(), seen.end(), false);
  TW_CHECK(missing == seen.end(), data, "{}: no token for byte 0x{:02X}", file, missing - seen.begin());
  spec.rule = rule ? *rule : rule_of(ranks, file);
  spec.ignore_merges = true;  // tiktoken looks a whole piece up first
  fill_merges_by_rank(spec, rank_of, file);
  for (auto& [id, name] : special_tokens(ranks)) {
    if (size_t(id) >= spec.tokens.size()) {
      spec.tokens.resize(size_t(id) + 1);
      spec.kinds.resize(size_t(id) + 1, TokenizerSpec::Kind::hole);
    }
    if (spec.kinds[size_t(id)] != TokenizerSpec::Kind::hole) continue;  // some other vocabulary of as many ranks
    spec.tokens[size_t(id)] = name;
    spec.kinds[size_t(id)] = TokenizerSpec::Kind::special;
    spec.added.push_back({id, name});
  }
  name_special_tokens(spec);
  return spec;
}

}  // namespace tw
