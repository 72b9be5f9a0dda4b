#include <gtest/gtest.h>

#include "src/codec/id_space.h"
#include "src/codec/text/bpe_trainer.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"
#include "tests/support/process.h"

namespace tw {
namespace {

class Numbers final : public Codec {
 public:
  Numbers(std::string name, int32_t size, char digit) : name_(std::move(name)), size_(size), digit_(digit) {}
  std::string_view name() const override { return name_; }
  int32_t vocab_size() const override { return size_; }
  std::string hash() const override { return std::string(64, digit_); }
  void encode(const CodecInput&, CodecSink&) const override {}
  std::string decode(std::span<const int32_t>) const override { return ""; }
  std::vector<CodecQuality> quality(std::span<const std::filesystem::path>) const override { return {}; }
  void save(const std::filesystem::path&) const override {}

 private:
  std::string name_;
  int32_t size_;
  char digit_;
};

TokenizerSpec text() {
  BpeTrainer trainer({.vocab_size = 260, .special_tokens = {"<|endoftext|>"}});
  trainer.add("some text");
  return trainer.train();
}

TEST(IdSpace, RangesStandBehindTheTextAndSurviveTheFile) {
  TokenizerSpec spec = text();
  const int32_t n = spec.size();
  add_codec(spec, Numbers("sound", 5, 'a'));
  add_codec(spec, Numbers("picture", 3, 'b'));
  add_codec(spec, Numbers("sound", 5, 'a'));  // it is there
  EXPECT_EQ(spec.size(), n + 3 + 5 + 3 + 3);
  const TextTokenizer made(spec);
  const TemporaryFolder folder;
  made.save_tokenizer_json(folder.path() / "tokenizer.json");
  const auto loaded = TextTokenizer::load(folder.path() / "tokenizer.json");
  EXPECT_EQ(loaded->hash(), made.hash());
  for (const TextTokenizer* t : {&made, static_cast<const TextTokenizer*>(loaded.get())}) {
    const IdSpace space(*t);
    ASSERT_EQ(space.ranges().size(), 2u);
    const CodecRange* sound = space.named("sound");
    ASSERT_TRUE(sound);
    EXPECT_EQ(sound->begin, n);
    EXPECT_EQ(sound->end, n + 2);
    EXPECT_EQ(sound->first, n + 3);
    EXPECT_EQ(sound->size, 5);
    EXPECT_EQ(sound->codebook, std::string(16, 'a'));
    EXPECT_EQ(t->special_id("<|picture:2|>"), space.named("picture")->last());
    EXPECT_EQ(space.named("text"), nullptr);
  }
  // In documents their texts are ordinary text.
  for (const int32_t id : made.encode("<|sound:1|>")) EXPECT_LT(id, n);
}

TEST(IdSpace, AnotherCodebookOfTheKindIsRefused) {
  TokenizerSpec spec = text();
  add_codec(spec, Numbers("sound", 5, 'a'));
  EXPECT_THROW(add_codec(spec, Numbers("sound", 5, 'c')), Error);
  EXPECT_THROW(add_codec(spec, Numbers("sound", 6, 'a')), Error);
}

TEST(IdSpace, ARowIsCutWhereKindsChange) {
  TokenizerSpec spec = text();
  add_codec(spec, Numbers("sound", 5, 'a'));
  add_codec(spec, Numbers("picture", 3, 'b'));
  const TextTokenizer t(spec);
  const IdSpace space(t);
  const CodecRange& s = *space.named("sound");
  const CodecRange& p = *space.named("picture");
  const auto parts = space.parts(std::vector<int32_t>{7, 8, s.begin, s.first + 4, p.first, 9, s.first, s.end, p.first + 1, 10, p.begin, p.first + 2});
  ASSERT_EQ(parts.size(), 4u);
  EXPECT_EQ(parts[0].range, nullptr);
  EXPECT_EQ(parts[0].ids, (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(parts[1].range->name, "sound");
  EXPECT_EQ(parts[1].ids, (std::vector<int32_t>{4, 0}));
  EXPECT_TRUE(parts[1].closed);
  EXPECT_EQ(parts[2].ids, (std::vector<int32_t>{10}));
  EXPECT_EQ(parts[3].range->name, "picture");
  EXPECT_EQ(parts[3].ids, (std::vector<int32_t>{2}));
  EXPECT_FALSE(parts[3].closed);
  EXPECT_TRUE(space.parts({}).empty());
}

}  // namespace
}  // namespace tw
