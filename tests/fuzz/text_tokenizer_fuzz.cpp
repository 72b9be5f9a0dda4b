// Any bytes come back from every tokenizer that says so. The first byte chooses the tokenizer.
#include "src/codec/text/readers.h"
#include "src/codec/text/tokenizer.h"
#include "tests/fuzz/fuzz.h"

namespace tw::fuzz {
namespace {

using Kind = TokenizerSpec::Kind;

void add(TokenizerSpec& spec, std::string text, Kind kind = Kind::normal) {
  spec.tokens.push_back(std::move(text));
  spec.kinds.push_back(kind);
}

// The words merge by the order they stand in, as in tiktoken files and SentencePiece models.
constexpr std::string_view kWords[] = {"he",   "in",   "th",   " t",           "the",  " th",  "on",  "  ",
                                       "    ", "\n\n", "er",   "12",           " a",   "an",   " an", "\xC3\xA9",
                                       "'s",   "ing",  " the", "\xE2\x82\xAC", "\r\n", "\t\t", "123"};

TokenizerSpec byte_level(SplitRule rule) {
  TokenizerSpec spec;
  spec.rule = rule;
  for (int b = 0; b < 256; ++b) add(spec, std::string(1, char(b)));
  for (const auto word : kWords) add(spec, std::string(word));
  std::vector<uint32_t> rank;
  for (uint32_t i = 0; i < spec.tokens.size(); ++i) rank.push_back(i);
  fill_merges_by_rank(spec, rank, "test");
  spec.added.push_back({int32_t(spec.tokens.size()), "<|endoftext|>"});
  add(spec, "<|endoftext|>", Kind::special);
  spec.added.push_back({int32_t(spec.tokens.size()), "<x>", false});
  add(spec, "<x>", Kind::special);
  spec.eos = spec.bos = spec.added[0].id;
  return spec;
}

TokenizerSpec characters(TokenizerSpec::Prefix prefix) {
  TokenizerSpec spec;
  spec.units = TokenizerSpec::Units::characters;
  spec.rule = SplitRule::none;
  spec.byte_fallback = spec.fuse_unknown = true;
  spec.prefix = prefix;
  spec.strip_prefix = prefix != TokenizerSpec::Prefix::none;
  spec.unknown = 0, spec.bos = 1, spec.eos = 2;
  add(spec, "<unk>", Kind::unknown);
  add(spec, "<s>", Kind::special), add(spec, "</s>", Kind::special);
  spec.added = {{1, "<s>"}, {2, "</s>"}};
  for (int b = 0; b < 256; ++b) add(spec, std::string(1, char(b)), Kind::byte);
  std::vector<uint32_t> rank(spec.tokens.size(), MergeTable::kNone);
  const auto word = [&](std::string_view bytes) {
    std::string text;
    for (const char c : bytes) text += c == ' ' ? std::string(kSpaceMark) : std::string(1, c);
    rank.push_back(uint32_t(rank.size()));
    add(spec, std::move(text));
  };
  for (const char* letter : {" ", "e", "t", "a", "o", "n", "h", "i"}) word(letter);
  for (const auto w : kWords) word(w);
  fill_merges_by_rank(spec, rank, "test");
  return spec;
}

const TextTokenizer& tokenizer(unsigned which) {
  static const TextTokenizer all[] = {TextTokenizer(byte_level(SplitRule::gpt2)),
                                      TextTokenizer(byte_level(SplitRule::cl100k)),
                                      TextTokenizer(byte_level(SplitRule::llama3)),
                                      TextTokenizer(byte_level(SplitRule::qwen2)),
                                      TextTokenizer(byte_level(SplitRule::none)),
                                      TextTokenizer(byte_level(SplitRule::each_space)),
                                      TextTokenizer(characters(TokenizerSpec::Prefix::none)),
                                      TextTokenizer(characters(TokenizerSpec::Prefix::always))};
  return all[which % std::size(all)];
}

}  // namespace
}  // namespace tw::fuzz

TW_FUZZ_TARGET(text_tokenizer) {
  if (input.empty()) return;
  const TextTokenizer& t = tokenizer(static_cast<unsigned char>(input[0]));
  const std::string_view text = input.substr(1);
  expect(t.lossless(), "tokenizers with tokens for all bytes are lossless");
  // A SentencePiece model cannot tell its mark of a space from a space.
  const bool exact = t.spec().units == TokenizerSpec::Units::bytes || text.find(kSpaceMark) == text.npos;
  const auto check = [&](const std::vector<int32_t>& ids) {
    std::string joined;
    for (const int32_t id : ids) {
      expect(id >= 0 && id < t.vocab_size(), "ids are in the vocabulary");
      joined += t.token_bytes(id);
    }
    const std::string back = t.decode(ids);
    if (exact) expect(back == text, "the text comes back");
    if (!t.spec().strip_prefix) expect(joined == back, "a text is its tokens' bytes");
  };
  const std::vector<int32_t> plain = t.encode(text);
  check(plain);
  for (const int32_t id : plain)
    if (t.is_special(id)) expect(t.token_bytes(id) == "<x>", "special tokens come only where asked for");
  if (t.spec().prefix == TokenizerSpec::Prefix::none) check(t.encode(text, {.parse_special = true}));
  expect(t.encode(text) == plain, "the same text has the same ids");
}
