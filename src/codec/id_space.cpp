#include "src/codec/id_space.h"

#include <algorithm>

#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"

namespace tw {
namespace {

constexpr size_t kCodebookDigits = 16;

// The text between "<|NAME" + mark and "|>", or "" where `token` is no such token.
std::string_view behind(std::string_view token, char mark, std::string_view& name) {
  if (!token.starts_with("<|") || !token.ends_with("|>") || token.size() < 6) return "";
  token = token.substr(2, token.size() - 4);
  const size_t at = token.find(mark);
  if (at == token.npos || at == 0) return "";
  name = token.substr(0, at);
  return token.substr(at + 1);
}

// Ranges of tokens by their texts.
std::vector<CodecRange> ranges_of(const std::vector<std::string>& tokens) {
  std::vector<CodecRange> ranges;
  for (size_t id = 1; id + 1 < tokens.size(); ++id) {
    std::string_view name;
    const std::string_view codebook = behind(tokens[id], '=', name);
    if (codebook.size() != kCodebookDigits) continue;
    CodecRange r{.name = std::string(name), .codebook = std::string(codebook), .begin = int32_t(id) - 1, .end = int32_t(id) + 1, .first = int32_t(id) + 2};
    if (tokens[id - 1] != "<|" + r.name + "|>" || tokens[id + 1] != "<|/" + r.name + "|>") continue;
    while (size_t(r.first + r.size) < tokens.size() && tokens[size_t(r.first + r.size)] == fmt::format("<|{}:{}|>", r.name, r.size)) ++r.size;
    ranges.push_back(std::move(r));
  }
  return ranges;
}

}  // namespace

IdSpace::IdSpace(const TextTokenizer& tokenizer) : ranges_(ranges_of(tokenizer.spec().tokens)) {}

const CodecRange* IdSpace::named(std::string_view name) const noexcept {
  const auto found = std::find_if(ranges_.begin(), ranges_.end(), [&](const CodecRange& r) { return r.name == name; });
  return found == ranges_.end() ? nullptr : &*found;
}

std::vector<IdSpan> IdSpace::parts(std::span<const int32_t> ids) const {
  std::vector<IdSpan> parts;
  IdSpan* open = nullptr;  // of a codec
  for (const int32_t id : ids) {
    const auto of = std::find_if(ranges_.begin(), ranges_.end(), [&](const CodecRange& r) { return id >= r.begin && id < r.first + r.size; });
    if (of == ranges_.end()) {
      if (open) continue;  // within a codec's document only its own ids have a meaning
      if (parts.empty() || parts.back().range) parts.push_back({});
      parts.back().ids.push_back(id);
    } else if (id == of->begin) {
      parts.push_back({.range = &*of, .ids = {}, .closed = false});
      open = &parts.back();
    } else if (open && open->range == &*of && id == of->end) {
      open->closed = true;
      open = nullptr;
    } else if (open && open->range == &*of && of->holds(id)) {
      open->ids.push_back(id - of->first);
    }
  }
  return parts;
}

void add_codec(TokenizerSpec& spec, const Codec& codec) {
  const std::string name(codec.name()), codebook = codec.hash().substr(0, kCodebookDigits);
  TW_CHECK(codebook.size() == kCodebookDigits && codec.vocab_size() > 0, bug, "codec {} has hash \"{}\" and {} ids", name, codec.hash(), codec.vocab_size());
  for (const CodecRange& r : ranges_of(spec.tokens))
    if (r.name == name) {
      TW_CHECK(r.codebook == codebook && r.size == codec.vocab_size(), config,
               "the tokenizer already has ids of another {} codec ({} and not {}): take a tokenizer without them, or that codec", name, r.codebook, codebook);
      return;
    }
  TW_CHECK(int64_t(spec.tokens.size()) + codec.vocab_size() + 3 <= kMaxTokens, config, "the tokenizer would have more than {} tokens with those of {}",
           kMaxTokens, name);
  const auto add = [&](std::string text) {
    spec.added.push_back({.id = spec.size(), .text = text, .special = true});
    spec.tokens.push_back(std::move(text));
    spec.kinds.push_back(TokenizerSpec::Kind::special);
  };
  add("<|" + name + "|>"), add("<|" + name + "=" + codebook + "|>"), add("<|/" + name + "|>");
  for (int32_t id = 0; id < codec.vocab_size(); ++id) add(fmt::format("<|{}:{}|>", name, id));
}

}  // namespace tw
