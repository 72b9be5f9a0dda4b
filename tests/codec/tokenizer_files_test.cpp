// Files of tokenizers: made by us, read back, damaged, hostile. And what a tokenizer promises.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "src/codec/text/bpe_trainer.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/rng.h"
#include "tests/support/process.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

constexpr const char* kText = "Die Paketverwaltung installiert Pakete. Die Pakete der Verwaltung: 12 Pakete, 123 Pakete!\n\n  Überall Pakete's.\n";

TokenizerSpec trained(SplitRule rule = SplitRule::gpt2) {
  BpeTrainer trainer({.vocab_size = 320, .rule = rule, .special_tokens = {"<|endoftext|>", "<|user|>"}});
  for (int i = 0; i < 5; ++i) trainer.add(kText);
  return trainer.train();
}

class TokenizerFiles : public testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_.path() / name, std::ios::binary) << content;
    return folder_.path() / name;
  }
  // Loads, or ends in Error(data). Anything else fails the test.
  void load_or_refuse(const fs::path& path) const {
    try {
      const auto t = TextTokenizer::load(path);
      const auto ids = t->encode(kText);
      for (const int32_t id : ids) ASSERT_LT(id, t->vocab_size());
      (void)t->decode(ids);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
    }
  }
  void refuse(const std::string& name, const std::string& content, const std::string& word) const {
    try {
      TextTokenizer::load(write(name, content));
      FAIL() << name << " was taken: " << content.substr(0, 100);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
      EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << e.what();
    }
  }
  TemporaryFolder folder_;
};

TEST_F(TokenizerFiles, SavedAndLoadedIsTheSame) {
  for (const SplitRule rule : {SplitRule::gpt2, SplitRule::cl100k, SplitRule::llama3, SplitRule::qwen2}) {
    const TextTokenizer tokenizer(trained(rule));
    const fs::path folder = folder_.path() / std::string(rule_name(rule));
    fs::create_directories(folder);
    tokenizer.save_hf(folder, 1024);
    const auto loaded = TextTokenizer::load(folder);
    EXPECT_EQ(loaded->encode(kText), tokenizer.encode(kText)) << rule_name(rule);
    EXPECT_EQ(loaded->vocab_size(), tokenizer.vocab_size());
    EXPECT_EQ(loaded->eos_id(), tokenizer.eos_id());
    for (const char* file : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}) EXPECT_TRUE(fs::exists(folder / file));
  }
}

TEST_F(TokenizerFiles, AnyBytesComeBack) {
  const TextTokenizer tokenizer(trained());
  ASSERT_TRUE(tokenizer.lossless());
  for (uint32_t i = 0; i < 300; ++i) {
    const Rng rng{1, RngStream::test, i, 0};
    std::string bytes;
    for (uint64_t n = rng.bits(0) % 200, k = 1; k <= n; ++k) bytes += char(rng.bits(k) % (i % 2 ? 256 : 130));
    const auto ids = tokenizer.encode(bytes);
    ASSERT_EQ(tokenizer.decode(ids), bytes) << i;
    std::string one_by_one;
    for (const int32_t id : ids) one_by_one += tokenizer.token_bytes(id);
    ASSERT_EQ(one_by_one, bytes) << i;
  }
}

TEST_F(TokenizerFiles, SpecialTokensAreTextUnlessAskedFor) {
  const TextTokenizer tokenizer(trained());
  const int32_t end = *tokenizer.special_id("<|endoftext|>");
  const auto plain = tokenizer.encode("a<|endoftext|>b");
  EXPECT_EQ(std::count(plain.begin(), plain.end(), end), 0);
  const auto special = tokenizer.encode("a<|endoftext|>b", {.parse_special = true});
  EXPECT_EQ(std::count(special.begin(), special.end(), end), 1);
  EXPECT_TRUE(tokenizer.is_special(end));
  EXPECT_EQ(tokenizer.decode(special, true), "ab");
  EXPECT_EQ(tokenizer.decode(special), "a<|endoftext|>b");
  EXPECT_THROW(tokenizer.token_bytes(tokenizer.vocab_size()), Error);
  EXPECT_THROW(tokenizer.decode(std::vector<int32_t>{-1}), Error);
}

TEST_F(TokenizerFiles, HashFollowsWhatDecidesIds) {
  const TextTokenizer a(trained()), b(trained()), c(trained(SplitRule::llama3));
  EXPECT_EQ(a.hash(), b.hash());
  EXPECT_NE(a.hash(), c.hash());
}

TEST_F(TokenizerFiles, QualityIsBytesAToken) {
  const TextTokenizer tokenizer(trained());
  const fs::path file = write("held-out.txt", kText);
  const CodecQuality q = tokenizer.quality(std::vector<fs::path>{file}).at(0);
  EXPECT_GT(q.value, q.baseline);
  EXPECT_TRUE(q.lossless);
}

TEST_F(TokenizerFiles, DamagedFilesAreRefusedOrWork) {
  const TextTokenizer tokenizer(trained());
  const fs::path file = folder_.path() / "tokenizer.json";
  tokenizer.save_tokenizer_json(file);
  const std::string good = read_file(file);
  for (uint32_t i = 0; i < 400; ++i) {
    const Rng rng{2, RngStream::test, i, 0};
    std::string bad = good;
    if (i % 4 == 0) bad.resize(rng.bits(0) % bad.size());
    for (uint64_t k = 0; k < 1 + i % 3; ++k) {
      if (bad.empty()) break;
      const size_t at = rng.bits(2 * k + 1) % bad.size();
      bad[at] = i % 2 ? char(rng.bits(2 * k + 2)) : "0123456789{}[],\":-"[rng.bits(2 * k + 2) % 18];
    }
    load_or_refuse(write("bad.json", bad));
  }
}

TEST_F(TokenizerFiles, AbsurdFilesAreRefusedByName) {
  refuse("deep.json", std::string(1000000, '['), "deep");
  refuse("deeper.json", "{\"model\":" + std::string(500000, '{'), "deeper");
  refuse("empty.json", "", "empty");
  refuse("model.json", R"({"model": {"type": "Unigram", "vocab": []}})", "Unigram");
  refuse("range.json", R"({"model": {"type": "BPE", "vocab": {"a": 4000000000}, "merges": []}})", "range.json");
  refuse("negative.json", R"({"model": {"type": "BPE", "vocab": {"a": -5}, "merges": []}})", "negative.json");
  refuse("twice.json", R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel"}})", "twice.json");
  refuse("merge.json", R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a c"]}, "pre_tokenizer": {"type": "ByteLevel"}})", "merge.json");
  refuse("bad.tiktoken", "!!!! 0\n", "bad.tiktoken");
  refuse("gaps.tiktoken", "IQ== 0\nIg== 99999999999\n", "gaps.tiktoken");
  refuse("text.txt", "just some words of a text\n", "text.txt");
  refuse("model.model", "\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "model.model");
  EXPECT_THROW(TextTokenizer::load(folder_.path() / "missing.json"), Error);
}

// SentencePiece's protobuf by hand: pieces of field 1 {1: text, 2: score, 3: type}, field 2 trainer_spec {3: model_type}.
std::string piece(const std::string& text, float score, int type) {
  std::string body = "\n" + std::string(1, char(text.size())) + text + "\x15" + std::string(reinterpret_cast<const char*>(&score), 4);
  body += std::string("\x18") + char(type);
  return "\n" + std::string(1, char(body.size())) + body;
}

TEST_F(TokenizerFiles, SentencePieceModelsByHandAndDamaged) {
  std::string model = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3);
  float score = -1;
  for (const char* text : {"\xE2\x96\x81", "a", "b", "ab", "\xE2\x96\x81" "ab"}) model += piece(text, text[1] && text[2] ? score : -9, 1), score -= 1;
  model += std::string("\x12\x02\x18\x02", 4);
  const auto tokenizer = TextTokenizer::load(write("small.model", model));
  EXPECT_EQ(tokenizer->vocab_size(), 8);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("ab ab")), "ab ab");
  for (uint32_t i = 0; i < 400; ++i) {
    const Rng rng{3, RngStream::test, i, 0};
    std::string bad = model;
    if (i % 4 == 0) bad.resize(rng.bits(0) % bad.size());
    if (!bad.empty()) bad[rng.bits(1) % bad.size()] = char(rng.bits(2));
    load_or_refuse(write("bad.model", bad));
  }
}

// Ids as SentencePiece 0.2.3 gives them for this model: a user-defined piece stays whole, and the spaces around it count.
TEST_F(TokenizerFiles, UserDefinedPiecesAreFoundInNormalizedText) {
  std::string model = piece("<unk>", 0, 2) + piece("<f>", 0, 4) + piece("\xE2\x96\x81q", 0, 4);
  for (const char* text : {"\xE2\x96\x81", "a", "b", "f"}) model += piece(text, -1, 1);
  model += std::string("\x12\x02\x18\x02", 4);
  const auto tokenizer = TextTokenizer::load(write("defined.model", model));
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(tokenizer->encode("a  <f>  b "), (Ids{3, 4, 3, 1, 3, 5}));
  EXPECT_EQ(tokenizer->encode("<f>f"), (Ids{3, 1, 6}));
  EXPECT_EQ(tokenizer->encode("qa q"), (Ids{2, 4, 2}));
  EXPECT_EQ(tokenizer->encode("b\xE2\x96\x81 "), (Ids{3, 5}));
  EXPECT_EQ(tokenizer->encode("  "), Ids{});
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("qa <f> q")), "qa <f> q");
  EXPECT_FALSE(tokenizer->lossless());
  EXPECT_THROW(tokenizer->save_tokenizer_json(folder_.path() / "defined.json"), Error);
}

}  // namespace
}  // namespace tw
