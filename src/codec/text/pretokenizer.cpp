#include "src/codec/text/pretokenizer.h"

#include <cstring>
#include <utility>

namespace tw {
namespace {

struct Known {
  SplitRule rule;
  std::string_view pattern;
};

// The first entry of a rule is the one we write. Oniguruma takes `$` for the end of a line and `{1,3}+` for a
// repeated group, so we write neither.
constexpr Known kKnown[] = {
    {SplitRule::gpt2, R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {SplitRule::gpt2, R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {SplitRule::gpt2, R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)"},
    {SplitRule::cl100k,
     R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+\z|\s*[\r\n]|\s+(?!\S)|\s)"},
    {SplitRule::cl100k,
     R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)"},
    {SplitRule::llama3,
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {SplitRule::llama3,
     R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"},
    {SplitRule::qwen2,
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
};

constexpr std::pair<SplitRule, std::string_view> kNames[] = {
    {SplitRule::none, "none"},     {SplitRule::gpt2, "gpt2"},   {SplitRule::cl100k, "cl100k"},
    {SplitRule::llama3, "llama3"}, {SplitRule::qwen2, "qwen2"}, {SplitRule::each_space, "each_space"}};

}  // namespace

std::string_view rule_name(SplitRule rule) noexcept {
  for (const auto& [r, name] : kNames)
    if (r == rule) return name;
  return "";
}

std::optional<SplitRule> rule_by_name(std::string_view name) noexcept {
  for (const auto& [rule, n] : kNames)
    if (n == name) return rule;
  return std::nullopt;
}

std::optional<SplitRule> rule_by_pattern(std::string_view pattern) noexcept {
  for (const Known& known : kKnown)
    if (known.pattern == pattern) return known.rule;
  return std::nullopt;
}

std::string_view rule_pattern(SplitRule rule) noexcept {
  for (const Known& known : kKnown)
    if (known.rule == rule) return known.pattern;
  return "";
}

size_t next_certain_start(std::string_view text, size_t from) noexcept {
  for (size_t i = from; i < text.size(); ++i) {
    const void* found = std::memchr(text.data() + i, '\n', text.size() - i);
    if (!found) break;
    i = size_t(static_cast<const char*>(found) - text.data());
    if (i + 1 < text.size() && text[i + 1] > ' ' && text[i + 1] < 127) return i + 1;
  }
  return text.size();
}

}  // namespace tw
