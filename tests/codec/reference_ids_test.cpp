// Ids of tiktoken, Hugging Face tokenizers and SentencePiece.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "src/codec/text/tokenizer.h"
#include "src/core/file.h"
#include "tests/support/process.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) bytes += char(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

class ReferenceIds : public testing::Test {
 protected:
  void SetUp() override {
    const auto folder = test_data("tokenizer");
    if (!folder) GTEST_SKIP() << "the reference ids are not here (TW_TEST_DATA)";
    data_ = folder->parent_path();
  }
  // An unpacked copy of a gz file.
  fs::path unpacked(const char* from, const char* name) const {
    const fs::path to = scratch_.path() / name;
    if (!fs::exists(to)) {
      const Ended e = run_process({"gzip", "-dc", (data_ / from).string()});
      EXPECT_EQ(e.code, 0) << e.err;
      std::ofstream(to, std::ios::binary) << e.out;
    }
    return to;
  }
  std::unique_ptr<TextTokenizer> load(const std::string& vocabulary) const {
    if (vocabulary == "gpt2") {
      unpacked("gpt2-vocab/vocab.bpe.gz", "vocab.bpe");
      return TextTokenizer::load(unpacked("gpt2-vocab/encoder.json.gz", "encoder.json"));
    }
    if (vocabulary == "cl100k_base") return TextTokenizer::load(unpacked("tokenizer/cl100k_base.tiktoken.gz", "cl100k_base.tiktoken"), SplitRule::cl100k);
    if (vocabulary == "mistral_v1") return TextTokenizer::load(data_ / "model/mistral-tokenizer.model.v1");
    return TextTokenizer::load(data_ / "model/tok512.model");
  }
  std::string text_of(const nlohmann::json& line) const { return from_hex(line["utf8_hex"]); }

  fs::path data_;
  TemporaryFolder scratch_;
};

TEST_F(ReferenceIds, HardStrings) {
  const auto strings = nlohmann::json::parse(read_file(data_ / "tokenizer/expected_ids.json"));
  ASSERT_EQ(strings.size(), 40u);
  for (const std::string vocabulary : {"gpt2", "cl100k_base", "mistral_v1"}) {
    const auto tokenizer = load(vocabulary);
    for (const auto& s : strings) {
      const auto ids = tokenizer->encode(text_of(s));
      EXPECT_EQ(ids, s[vocabulary].get<std::vector<int32_t>>()) << vocabulary << " string " << s["n"];
      const std::string want = vocabulary == "mistral_v1" && s.contains("mistral_v1_decoded_hex") ? from_hex(s["mistral_v1_decoded_hex"]) : text_of(s);
      EXPECT_EQ(tokenizer->decode(ids), want) << vocabulary << " string " << s["n"];
    }
  }
}

TEST_F(ReferenceIds, EasyStrings) {
  std::ifstream file(data_ / "gpt2-vocab/expected_ids_easy.jsonl");
  std::vector<nlohmann::json> strings;
  for (std::string line; std::getline(file, line);) strings.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(strings.size(), 16u);
  for (const std::string vocabulary : {"gpt2", "cl100k_base", "mistral_v1", "tok512"}) {
    const auto tokenizer = load(vocabulary);
    for (const auto& s : strings)
      EXPECT_EQ(tokenizer->encode(text_of(s)), s[vocabulary].get<std::vector<int32_t>>()) << vocabulary << ": " << s["text"];
  }
}

TEST_F(ReferenceIds, BytesThatAreNoUtf8ComeBack) {
  const auto strings = nlohmann::json::parse(read_file(data_ / "tokenizer/invalid_utf8.json"));
  for (const std::string vocabulary : {"gpt2", "cl100k_base"}) {
    const auto tokenizer = load(vocabulary);
    EXPECT_TRUE(tokenizer->lossless());
    for (const auto& s : strings) {
      const std::string bytes = from_hex(s["bytes_hex"]);
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes)), bytes) << vocabulary << " " << s["bytes_hex"];
      const std::string replaced = from_hex(s["U+FFFD_text_hex"]);
      if (vocabulary != "gpt2") continue;
      EXPECT_EQ(tokenizer->encode(replaced), s["gpt2_of_U+FFFD_text"].get<std::vector<int32_t>>());
    }
  }
}

TEST_F(ReferenceIds, SavedAsTokenizerJsonGivesTheSameIds) {
  const std::string text = read_file(data_ / "text-de/handbook-de.txt").substr(0, 200000);
  for (const std::string vocabulary : {"gpt2", "cl100k_base"}) {
    const auto tokenizer = load(vocabulary);
    const fs::path file = scratch_.path() / (vocabulary + ".json");
    tokenizer->save_tokenizer_json(file);
    EXPECT_EQ(TextTokenizer::load(file)->encode(text), tokenizer->encode(text)) << vocabulary;
  }
}

TEST_F(ReferenceIds, ThePretrainedModelsTokenizerJsonAgreesWithItsSentencePieceModel) {
  const auto json = TextTokenizer::load(data_ / "model/stories260K-hf"), model = load("tok512");
  const auto reference = nlohmann::json::parse(read_file(data_ / "model/stories260K-hf/reference.json"));
  const std::string prompt = reference["prompt"];
  EXPECT_EQ(json->encode(prompt, {.add_bos = true}), reference["input_ids"].get<std::vector<int32_t>>());
  for (const std::string text : {"One day, Lily met a dog.", " two  spaces", "Ünïcödé 🙂"}) EXPECT_EQ(json->encode(text), model->encode(text)) << text;
}

}  // namespace
}  // namespace tw
