#include "src/codec/text/bpe_trainer.h"

#include <gtest/gtest.h>

#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"
#include "src/core/rng.h"

namespace tw {
namespace {

std::string made_up_text(uint32_t document, int words) {
  static const char* const kParts[] = {"ver", "packung", " Paket", " und", "ung", " Über", "sch", "en", ", ", "\n", " 12", "'s", "e", " the"};
  const Rng rng{5, RngStream::test, document, 0};
  std::string text;
  for (uint64_t i = 0; i < uint64_t(words); ++i) text += kParts[rng.bits(i) % 14];
  return text;
}

TEST(BpeTrainer, MergesTheMostFrequentPairFirst) {
  BpeTrainer trainer({.vocab_size = 260, .special_tokens = {"<|endoftext|>"}, .min_frequency = 1});
  trainer.add("abab abab ab");  // " a" 2, "ab" 5, "ba" 2
  const TokenizerSpec spec = trainer.train();
  ASSERT_EQ(spec.size(), 260);
  EXPECT_EQ(spec.tokens[0], "<|endoftext|>");
  EXPECT_EQ(spec.tokens[257], "ab");
  // "abab" is now (ab, ab) twice with and without a space before: three pairs, " " + "ab" 2, "ab" + "ab" 2.
  EXPECT_TRUE(spec.tokens[258] == " ab" || spec.tokens[258] == "abab") << spec.tokens[258];
  EXPECT_EQ(TextTokenizer(spec).decode(TextTokenizer(spec).encode("abab xyz")), "abab xyz");
}

TEST(BpeTrainer, EqualCountsGoToTheSmallerIds) {
  BpeTrainer trainer({.vocab_size = 258, .special_tokens = {"<s>"}, .min_frequency = 1});
  trainer.add("zy ab");
  trainer.add("zy ab");
  const TokenizerSpec spec = trainer.train();
  // Bytes have the order of their visible characters; the space comes late in it, 'a' before 'z'.
  EXPECT_EQ(spec.tokens[257], "ab");
}

TEST(BpeTrainer, ThreadsAndOrderOfTextsChangeNothing) {
  std::string want;
  for (const int threads : {1, 2, 3}) {
    BpeTrainer trainer({.vocab_size = 400, .threads = threads});
    for (uint32_t d = 0; d < 6; ++d) trainer.add(made_up_text(threads == 2 ? 5 - d : d, 400));
    const TextTokenizer tokenizer(trainer.train());
    if (want.empty()) want = tokenizer.hash();
    EXPECT_EQ(tokenizer.hash(), want) << threads << " threads";
    EXPECT_GT(tokenizer.vocab_size(), 270);
  }
}

TEST(BpeTrainer, ATextThatIsTooSmallEndsEarly) {
  BpeTrainer trainer({.vocab_size = 5000});
  trainer.add("aaaa aaaa");
  const TokenizerSpec spec = trainer.train();
  EXPECT_LT(spec.size(), 270);
  EXPECT_GE(spec.size(), 257);
}

TEST(BpeTrainer, TokensNeverCrossPieces) {
  BpeTrainer trainer({.vocab_size = 400, .min_frequency = 1});
  trainer.add(made_up_text(9, 2000));
  for (const std::string& token : trainer.train().tokens)
    EXPECT_TRUE(token == "<|endoftext|>" || token.find(' ', 1) == token.npos || token.find_first_not_of(' ') == token.npos) << token;
}

TEST(BpeTrainer, RefusesWhatCannotBe) {
  EXPECT_THROW(BpeTrainer({.vocab_size = 100}), Error);
  EXPECT_THROW(BpeTrainer({.special_tokens = {"<a>", "<a>"}}), Error);
  EXPECT_THROW(BpeTrainer({.special_tokens = {""}}), Error);
  EXPECT_THROW(BpeTrainer({.rule = SplitRule::each_space}), Error);
}

}  // namespace
}  // namespace tw
