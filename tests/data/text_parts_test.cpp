// Long texts in parts: ids are those of the whole, wherever the pieces end in which the text comes.
#include <gmock/gmock.h>

#include <random>

#include "src/codec/text/bpe_trainer.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/utf8.h"
#include "src/data/document_text.h"

namespace tw {
namespace {

// Words, digits, contractions, all kinds of white space, scripts with and without spaces.
std::string wild_text(size_t bytes, uint32_t seed) {
  const char* pieces[] = {"word", " and", "Größe", "'s", "'ll", "I'm", " ", "  ", "\n", "\n\n", " \n ", "\t", "\r\n", "1", "234567", "٣٤",
                          ",", ".", "...", "!?", "-", "你好", "漢字", "。", "𝄞", "é", "e\u0301", "\u00A0", "\u3000", "'", "\u017F", "x1y2", "_"};
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < bytes) text += pieces[random() % std::size(pieces)];
  return text;
}

std::unique_ptr<TextTokenizer> tokenizer_of(SplitRule rule, std::vector<AddedToken> added = {}) {
  BpeTrainer trainer({.vocab_size = 700, .rule = rule});
  trainer.add(wild_text(60000, 99));
  TokenizerSpec spec = trainer.train();
  for (AddedToken& token : added) {
    token.id = spec.size();
    spec.tokens.push_back(token.text);
    spec.kinds.push_back(TokenizerSpec::Kind::special);
    spec.added.push_back(token);
  }
  return std::make_unique<TextTokenizer>(std::move(spec));
}

std::vector<std::string> cut(TextParts parts, std::string_view text, size_t piece) {
  std::vector<std::string> all;
  const auto take = [&](bool last) {
    for (std::string_view part; parts.next(part, last);) all.emplace_back(part);
  };
  for (size_t i = 0; i < text.size();) {
    size_t end = std::min(text.size(), i + piece);
    while (end < text.size() && (text[end] & 0xC0) == 0x80) ++end;
    parts.add(text.substr(i, end - i));
    take(false);
    i = end;
  }
  take(true);
  EXPECT_EQ(parts.waiting(), 0u);
  return all;
}

std::vector<int32_t> encode(const TextTokenizer& tokenizer, const std::vector<std::string>& parts) {
  std::vector<int32_t> ids;
  for (const std::string& part : parts) tokenizer.encode(part, {}, ids);
  return ids;
}

class Parts : public testing::TestWithParam<SplitRule> {};

TEST_P(Parts, GiveTheIdsOfTheWhole) {
  const auto tokenizer = tokenizer_of(GetParam());
  ASSERT_EQ(cuts_of(*tokenizer), Cuts::words);
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const std::string text = wild_text(4000, seed);
    const auto whole = tokenizer->encode(text);
    const auto parts = cut(TextParts(Cuts::words, 8, 400), text, 1 + seed * 7);
    EXPECT_GT(parts.size(), 100u);
    ASSERT_EQ(encode(*tokenizer, parts), whole) << "seed " << seed;
    EXPECT_EQ(cut(TextParts(Cuts::words, 8, 400), text, text.size()), parts) << "pieces do not matter";
    ASSERT_EQ(encode(*tokenizer, cut(TextParts(Cuts::before_space, 8, 4000), text, 100)), whole) << "seed " << seed;
  }
}

TEST_P(Parts, AndThoseWithTokensInsideOfWords) {
  const auto tokenizer = tokenizer_of(GetParam(), {{.text = "rd,", .special = false}, {.text = "1", .special = false}});
  ASSERT_EQ(cuts_of(*tokenizer), Cuts::before_space);
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const std::string text = wild_text(4000, seed);
    ASSERT_EQ(encode(*tokenizer, cut(TextParts(Cuts::before_space, 8, 4000), text, 100)), tokenizer->encode(text)) << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, Parts, testing::Values(SplitRule::gpt2, SplitRule::cl100k, SplitRule::llama3, SplitRule::qwen2),
                         [](const auto& rule) { return std::string(rule_name(rule.param)); });

TEST(TextParts, ALongTextWithoutACutIsCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "語";
  for (const Cuts cuts : {Cuts::none, Cuts::words}) {
    const auto parts = cut(TextParts(cuts, 100, 100), text, 64);
    ASSERT_EQ(parts.size(), 31u) << "99 bytes each";
    std::string together;
    for (const std::string& part : parts) {
      EXPECT_TRUE(is_utf8(part));
      together += part;
    }
    EXPECT_EQ(together, text);
  }
}

TEST(TextParts, TokenizersThatChangeTheTextKnowNoCut) {
  TokenizerSpec spec = tokenizer_of(SplitRule::gpt2)->spec();
  spec.prefix = TokenizerSpec::Prefix::if_missing;
  EXPECT_EQ(cuts_of(TextTokenizer(spec)), Cuts::none);
  spec.prefix = TokenizerSpec::Prefix::none;
  spec.rule = SplitRule::none;
  EXPECT_EQ(cuts_of(TextTokenizer(spec)), Cuts::none);
  EXPECT_EQ(cuts_of(*tokenizer_of(SplitRule::gpt2, {{.text = "a b", .special = false}})), Cuts::none);
  EXPECT_EQ(cuts_of(*tokenizer_of(SplitRule::gpt2, {{.text = "a", .special = false, .left_space = true}})), Cuts::none);
}

}  // namespace
}  // namespace tw
