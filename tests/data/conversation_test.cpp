// Conversations: from lines of JSON to tokens of which what an assistant says is to be predicted.
#include "src/data/formats/conversation.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "src/codec/text/chat_template.h"
#include "src/codec/text/tokenizer.h"
#include "kernels/loss.h"
#include "src/core/file.h"
#include "src/core/error.h"
#include "src/data/batches.h"
#include "src/data/tokenize.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {
using nlohmann::json;
using testing::HasSubstr;

std::string said(const json& record) {
  std::string all;
  for (const Turn& t : conversation_of(record)) all += t.role.substr(0, 1) + ":" + t.text + "|";
  return all;
}

TEST(Conversation, EachFormOfARecordIsTurns) {
  EXPECT_EQ(said(json::parse(R"({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]})")), "s:S|u:Q|a:A|");
  EXPECT_EQ(said(json::parse(R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}, {"type": "image"}, {"text": "R"}]}, {"role": "assistant", "content": "A"}]})")),
            "u:Q\n\nR|a:A|");
  EXPECT_EQ(said(json::parse(R"({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}, {"from": "human", "value": "R"}, {"from": "gpt", "value": "B"}]})")),
            "u:Q|a:A|u:R|a:B|");
  EXPECT_EQ(said(json::parse(R"({"instruction": "Do", "input": "this", "output": "Done"})")), "u:Do\n\nthis|a:Done|");
  EXPECT_EQ(said(json::parse(R"({"instruction": "Do", "input": "", "output": "Done"})")), "u:Do|a:Done|");
  EXPECT_EQ(said(json::parse(R"({"prompt": "P", "completion": "C", "system": "S"})")), "s:S|u:P|a:C|");
  EXPECT_EQ(said(json::parse(R"({"question": "Q", "answer": "A"})")), "u:Q|a:A|");
  for (const char* none : {R"({"text": "T"})", R"({"messages": [{"role": "user", "content": "Q"}]})", R"({"messages": [{"role": "oracle", "content": "Q"}, {"role": "assistant", "content": "A"}]})",
                           R"({"messages": [1, 2]})", R"({"messages": 7})", R"({"question": "Q", "answer": " "})", R"({"question": "Q", "answer": 7})", "[]", "\"text\"", "null"})
    EXPECT_EQ(said(json::parse(none)), "") << none;
}

class Conversations : public testing::Test {
 protected:
  // What is to be predicted of a document's text, and the whole.
  struct Read {
    std::string whole, trained;
  };
  Read read(const TokenFile& file, const TextTokenizer& tokenizer, const Document& d) const {
    std::vector<bool> left(size_t(d.tokens), false);
    file.for_untrained(d.first_token, d.first_token + d.tokens, [&](int64_t i) { left[size_t(i - d.first_token)] = true; });
    std::vector<int32_t> whole, trained;
    for (int64_t i = 0; i < d.tokens; ++i) {
      whole.push_back(file[d.first_token + i]);
      if (!left[size_t(i)]) trained.push_back(whole.back());
    }
    return {tokenizer.decode(whole), tokenizer.decode(trained)};
  }
  static std::string line(const std::string& question, const std::string& answer) { return json{{"question", question}, {"answer", answer}}.dump() + "\n"; }
  TokenizeResult run(int threads = 2) {
    TokenizeOptions options;
    options.out = folder_ / "run";
    options.vocab_size = 300;
    options.threads = threads;
    return tokenize(scan(folder_ / "docs", {.shares = {1, 0, 0}}), options);
  }
  ScratchFolder folder_;
};

TEST_F(Conversations, WhatTheAssistantSaysIsPredictedAndNothingElseOfThem) {
  folder_.write("docs/a.jsonl", R"({"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."}, )"
                                R"({"role": "user", "content": "Three?"}, {"role": "assistant", "content": "Four."}]})"
                                "\n" +
                                    line("Where is it?", "There.") + R"({"text": "A plain one."})" + "\n");
  folder_.write("docs/b.txt", "Plain text stays as it was.");
  const TokenizeResult result = run();
  const auto tokenizer = TextTokenizer::load(result.tokenizer);
  const auto file = TokenFile::open(result.of(Split::train).file, 0, true);
  ASSERT_EQ(file->documents().size(), 2u);
  const Read a = read(*file, *tokenizer, file->documents()[0]), b = read(*file, *tokenizer, file->documents()[1]);
  EXPECT_EQ(a.whole,
            "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\nTwo.<|im_end|>\n<|im_start|>user\nThree?<|im_end|>\n"
            "<|im_start|>assistant\nFour.<|im_end|>\n<|endoftext|><|im_start|>user\nWhere is it?<|im_end|>\n<|im_start|>assistant\nThere.<|im_end|>\n<|endoftext|>A plain one.<|endoftext|>");
  EXPECT_EQ(a.trained, "Two.<|im_end|>Four.<|im_end|>There.<|im_end|>A plain one.<|endoftext|>");
  EXPECT_EQ(b.trained, b.whole);
  // In batches what is not predicted is no target.
  const Batches batches({file}, {.seq_len = 32, .shuffle = false});
  std::vector<int32_t> x(32), y(32);
  for (int64_t s = 0; s < batches.samples_per_epoch(); ++s) {
    batches.sample(s, x.data(), y.data());
    std::vector<int32_t> want;
    for (int64_t t = 0; t < 32; ++t) want.push_back((*file)[32 * s + t + 1]);
    file->for_untrained(32 * s + 1, 32 * s + 33, [&](int64_t i) { want[size_t(i - 32 * s - 1)] = kIgnoredTarget; });
    EXPECT_EQ(y, want);
  }
  EXPECT_GT(std::count(y.begin(), y.end(), kIgnoredTarget) + std::count(x.begin(), x.end(), 0), 0);
  // The same tokens on any number of threads, and kept by the next call.
  const std::string bytes = read_file(result.of(Split::train).file);
  EXPECT_TRUE(run().of(Split::train).reused);
  std::filesystem::remove_all(folder_ / "run");
  EXPECT_EQ(read_file(run(1).of(Split::train).file), bytes);
}

// Above 4 MiB a file is encoded in parts, a turn of more than 1 MiB in several.
TEST_F(Conversations, LongFilesAreTheSameInParts) {
  std::string lines, long_answer, long_question;
  for (int i = 0; long_answer.size() < size_t(5) << 19; ++i) long_answer += "step " + std::to_string(i) + " is done, ";
  for (int i = 0; long_question.size() < size_t(3) << 19; ++i) long_question += "and what of " + std::to_string(i) + " ";
  long_answer.pop_back(), long_question.pop_back();
  lines = line("short?", "yes.") + line(long_question, long_answer) + line("short again?", "no.");
  for (int i = 0; lines.size() < size_t(5) << 20; ++i) lines += line("q" + std::to_string(i), "a" + std::to_string(i));
  folder_.write("docs/a.jsonl", lines);
  folder_.write("docs/b.txt", "something else");
  const TokenizeResult result = run();
  const auto tokenizer = TextTokenizer::load(result.tokenizer);
  const auto file = TokenFile::open(result.of(Split::train).file, 0, true);
  const Read a = read(*file, *tokenizer, file->documents()[0]);
  EXPECT_TRUE(a.whole.find("<|im_start|>user\n" + long_question + "<|im_end|>\n<|im_start|>assistant\n" + long_answer + "<|im_end|>\n<|endoftext|>") != a.whole.npos);
  EXPECT_TRUE(a.trained.starts_with("yes.<|im_end|>" + long_answer + "<|im_end|>no.<|im_end|>a0<|im_end|>"));
  EXPECT_EQ(a.trained.find("short"), a.trained.npos);
  EXPECT_EQ(a.trained.find("what of"), a.trained.npos);
}

TEST_F(Conversations, ATokenizerWithTurnsOfItsOwnKeepsThem) {
  folder_.write("docs/b.txt", "some text for a tokenizer, some more text");
  const TokenizeResult first = run();
  TokenizerSpec spec = TextTokenizer::load(first.tokenizer)->spec();
  for (const char* token : {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}) {
    spec.added.push_back({.id = spec.size(), .text = token, .special = true});
    spec.tokens.push_back(token);
    spec.kinds.push_back(TokenizerSpec::Kind::special);
  }
  TextTokenizer(spec).save_tokenizer_json(folder_ / "llama.json");
  folder_.write("docs/a.jsonl", line("Q", "A"));
  TokenizeOptions options;
  options.out = folder_ / "other";
  options.tokenizer = folder_ / "llama.json";
  const TokenizeResult result = tokenize(scan(folder_ / "docs", {.shares = {1, 0, 0}}), options);
  EXPECT_EQ(result.vocab_size, spec.size()) << "no tokens are added";
  const auto tokenizer = TextTokenizer::load(result.tokenizer);
  const auto file = TokenFile::open(result.of(Split::train).file, 0, true);
  const Read a = read(*file, *tokenizer, file->documents()[0]);
  EXPECT_EQ(a.whole, "<|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|endoftext|>");
  EXPECT_EQ(a.trained, "A<|eot_id|>");
  EXPECT_THROW(ChatTemplate(*TextTokenizer::load(first.tokenizer)), Error) << "it knows no turns";
}

}  // namespace
}  // namespace tw
